// A message centre on the npm package `smpp`, driven over stdin and stdout by smpp_carrier.py: one JSON object a line.
//
// It says what it was sent, as the package reads it, and takes commands: {"do": "receipt", …}, {"do": "cut"}, {"do": "say"}.

import { createInterface } from "node:readline";
import smpp from "smpp";

const sessions = new Set();
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
// How the next submits are answered: a status by its name; ESME_ROK where there is none left.
const answers = [];
let last = 0x2f00;

const server = smpp.createServer((session) => {
    session.on("error", () => session.destroy());
    session.on("close", () => sessions.delete(session));
    session.on("bind_transceiver", (pdu) => {
        if (pdu.system_id !== "otpgate" || pdu.password !== "secret08") {
            session.send(pdu.response({ command_status: smpp.ESME_RBINDFAIL }));
            return session.close();
        }
        session.send(pdu.response({ system_id: "npm" }));
        sessions.add(session);
        say({ event: "bound", version: pdu.interface_version });
    });
    session.on("submit_sm", (pdu) => {
        const status = answers.shift() ?? "ESME_ROK";
        // In hexadecimal and capitals, as many centres have it; the receipt's text says the same with zeros before it.
        const id = (++last).toString(16).toUpperCase();
        const { message, udh } = pdu.short_message;
        say({
            event: "submit", id, status, message, udh: udh?.map((element) => element.toString("hex")) ?? [],
            source: [pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr],
            destination: [pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr],
            esm_class: pdu.esm_class, data_coding: pdu.data_coding, registered_delivery: pdu.registered_delivery,
            validity_period: pdu.validity_period,
        });
        const taken = status === "ESME_ROK";
        session.send(pdu.response({ command_status: smpp[status], ...(taken && { message_id: id }) }));
    });
    session.on("enquire_link", (pdu) => {
        session.send(pdu.response());
        say({ event: "enquire_link" });
    });
    session.on("unbind", (pdu) => {
        session.send(pdu.response());
        session.close();
        say({ event: "unbound" });
    });
});

const commands = {
    answer: ({ statuses }) => answers.push(...statuses),
    cut: () => sessions.forEach((session) => session.destroy()),
    ask: () => sessions.forEach((session) => session.enquire_link(() => say({ event: "alive" }))),
    receipt: ({ id, word, error, parameters }) => {
        const [session] = sessions;
        const text = `id:${id.padStart(10, "0")} sub:001 dlvrd:001 submit date:2611220601 done date:2611220602 stat:${word} err:${error} text:`;
        session.deliver_sm(
            {
                source_addr_ton: 1, source_addr_npi: 1, source_addr: "4915112345678", destination_addr: "ACME",
                esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
                short_message: parameters ? "" : text,
                ...(parameters && { receipted_message_id: id, message_state: smpp.MESSAGE_STATE[parameters] }),
            },
            (answer) => say({ event: "receipt", id, status: answer.command_status }),
        );
    },
    phone: ({ text }) => {
        const [session] = sessions;
        session.deliver_sm({ source_addr: "4915112345678", destination_addr: "ACME", short_message: text }, (answer) =>
            say({ event: "phone", status: answer.command_status }),
        );
    },
};

createInterface({ input: process.stdin }).on("line", (line) => {
    const { do: name, ...rest } = JSON.parse(line);
    commands[name](rest);
}).on("close", () => process.exit(0));

server.listen(0, "127.0.0.1", () => say({ event: "listening", port: server.address().port }));
