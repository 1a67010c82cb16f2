"""Lets `smpplib`, a client that others wrote, bind to the message centre that the tests hold the gateway against: what
the tests take for SMPP is then not only what this project takes for it.

Needs: pip install smpplib==2.2.4

    python tests/clients/smpp_client.py --centre target/debug/examples/message_centre
"""
import subprocess, sys, time

import smpplib.client, smpplib.consts, smpplib.gsm

if sys.argv[1:2] != ["--centre"] or len(sys.argv) != 3:
    sys.exit(__doc__)
PATIENCE = 60

centre = subprocess.Popen([sys.argv[2]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
host, port = centre.stdout.readline().removeprefix("listening on ").strip().split(":")

answers, receipts = {}, []
client = smpplib.client.Client(host, int(port), allow_unknown_opt_params=False)
client.set_message_sent_handler(lambda pdu: answers.update({pdu.sequence: pdu.message_id.decode()}))


def received(pdu):
    """A receipt, which smpplib reads by its own rules; it acknowledges it by itself."""
    assert pdu.esm_class == 4, pdu.esm_class
    fields = dict(field.split(b":", 1) for field in pdu.short_message.split() if b":" in field)
    receipts.append((fields[b"id"].decode(), fields[b"stat"].decode()))


client.set_message_received_handler(received)
client.connect()
client.bind_transceiver(system_id="otpgate", password="secret08")

sent = 0
for text in ["Your code is 836194 [€]", "Ваш код 836194", "a€" * 120, "жя" * 80]:
    parts, coding, esm_class = smpplib.gsm.make_parts(text)
    for part in parts:
        pdu = client.send_message(
            source_addr_ton=smpplib.consts.SMPP_TON_ALNUM, source_addr="ACME",
            dest_addr_ton=smpplib.consts.SMPP_TON_INTL, dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
            destination_addr="4915112345678", short_message=part, data_coding=coding, esm_class=esm_class,
            registered_delivery=True,
        )
        sent += 1
        line = centre.stdout.readline().split()
        assert line == ["ACME", "4915112345678", str(esm_class), str(coding), "1", part.hex()], (line, part.hex())

client.send_pdu(smpplib.smpp.make_pdu("enquire_link", client=client))
until = time.monotonic() + PATIENCE
while (len(answers) < sent or len(receipts) < sent) and time.monotonic() < until:
    client.read_once()
assert len(answers) == sent == len(set(answers.values())), answers
assert sorted(receipts) == sorted((id, "DELIVRD") for id in answers.values()), (receipts, answers)

client.unbind()
client.disconnect()
centre.stdin.close()
ended = centre.stdout.read().split("\n")[0]
assert ended == "1 binds, 1 unbinds, 1 enquiries", ended
assert centre.wait(timeout=PATIENCE) == 0
print(f"{sent} submits and {len(receipts)} receipts between smpplib and the centre of the tests")
