// The verification page in Chromium, driven by playwright-core, looked at by axe-core, its results checked by jose. Run by
// page.py, which starts the gateway and gives the rest as JSON. Needs the packages of package.json beside it.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { chromium } from "playwright-core";

const task = JSON.parse(process.argv[2]);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const { address, admin, key } = task;
const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));
mkdirSync(task.shots, { recursive: true });

// ---- the gateway, as whoever asks for verifications sees it

async function api(method, path, body) {
    const answer = await fetch(address + path, {
        method, headers: { apikey: key, "content-type": "application/json" }, body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    assert(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
}

let numbers = 0;
async function open(wish = {}) {
    const number = wish.number ?? `+4915112${String(345000 + numbers++)}`;
    const opened = await api("POST", "/v1/verifications", { number, applicationId: shop, language: "en", ...wish, number });
    return { ...opened, number };
}
const look = async ({ verificationId }) => api("GET", `/v1/verifications/${verificationId}`);
const messages = async number =>
    (await fetch(`${admin}/sandbox/messages?number=${encodeURIComponent(number)}`)).json();
async function codeOf({ number }, count = 1) {
    for (;;) {
        const list = await messages(number);
        if (list.length >= count) return list[0].code;
        await sleep(20);
    }
}
const wrongFor = code => (code === "000000" ? "111111" : "000000");

// ---- sites: one that may embed and be returned to, one that may not

const visits = [];
function site(name) {
    const server = createServer((request, response) => {
        const url = new URL(request.url, "http://site");
        visits.push({ name, path: url.pathname, query: url.searchParams, referer: request.headers.referer });
        response.setHeader("content-type", "text/html");
        if (url.pathname === "/hop") {
            response.writeHead(302, { location: `${elsewhere}/landed${url.search}` }).end();
        } else if (url.pathname === "/frame") {
            response.end(`<!doctype html><title>${name}</title><script>told = [];
                addEventListener("message", event => told.push([event.origin, event.data]));</script>
                <iframe src="${url.searchParams.get("page")}" width="420" height="620" allow="otp-credentials"></iframe>`);
        } else if (url.pathname === "/attack") {
            response.end(`<!doctype html><form method="post" action="${url.searchParams.get("page")}">
                <input name="action" value="not_me"></form><script>document.forms[0].submit()</script>`);
        } else {
            response.end(`<!doctype html><title>${name}</title>Here is ${name}.`);
        }
    });
    return new Promise(resolve => server.listen(0, "127.0.0.1", () => {
        server.unref();
        resolve(`http://127.0.0.1:${server.address().port}`);
    }));
}
const friend = await site("friend"), elsewhere = await site("elsewhere");

const look_of = { name: "Example Shop", colour: "#b3266b", logo: task.logo, returnUrls: [friend, "https://www.example.com"], embedOrigins: [friend] };
const application = async (name, more) =>
    (await api("POST", "/v1/applications", { name, verification: look_of, ...more })).applicationId;
const shop = await application("shop");
const hasty = await application("hasty", { expire: 30 });
const plain = await application("plain", { verification: {} });
const shared = await application("shared", { verification: { ...look_of, embedOrigins: ["https://www.example.com", friend] } });
const letters = await application("letters", { pinLength: 8, alphanumeric: true });

// ---- the browser

const browser = await chromium.launch({
    executablePath: task.chromium,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"],
});
const wide = { width: 720, height: 760 };
const contexts = [];
async function tab(options = {}) {
    const context = await browser.newContext({ viewport: wide, ...options });
    // No step is judged by its time: it may take as long as a slow machine needs.
    context.setDefaultTimeout(180_000);
    context.setDefaultNavigationTimeout(180_000);
    contexts.push(context);
    const page = await context.newPage();
    page.asked = [];
    page.on("request", request => page.asked.push(request.url()));
    page.faults = [];
    page.on("console", message => message.type() === "error" && page.faults.push(message.text()));
    page.on("pageerror", error => page.faults.push(String(error)));
    return page;
}
// A page that hears nothing: what it asks for gets lost, so that it stays as it was.
const deaf = page => page.route("**/verify/*", route => (route.request().method() === "HEAD" ? route.abort() : route.continue()));
const field = page => page.locator("#code");
const press = (page, action) => page.locator(`button[value=${action}]`).click();
const heading = page => page.locator("h1").textContent();
async function enter(page, code) {
    await field(page).fill(code);
    await press(page, "enter");
}

// Each state in both schemes: axe finds nothing, nothing is cut off, nothing was fetched from elsewhere.
const seen = new Set();
async function state(page, name, schemes = ["light", "dark"]) {
    for (const colorScheme of schemes) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({ path: `${task.shots}/${name}-${colorScheme}.png`, fullPage: true });
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, {
            runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
        }));
        assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes[0].html]), [], `${name} ${colorScheme}`);
    }
    const [across, room] = await page.evaluate(() => [document.scrollingElement.scrollWidth, innerWidth]);
    assert(across <= room, `${name} scrolls sideways: ${across} in ${room}`);
    seen.add(name);
}

const results = createRemoteJWKSet(new URL(`${address}/.well-known/jwks.json`));
async function checked(token, audience, opened, outcome) {
    const { payload, protectedHeader } = await jwtVerify(token, results, {
        issuer: address, audience, typ: "verification-result+jwt", algorithms: ["ES256"], subject: opened.verificationId,
        requiredClaims: ["exp", "iat", "jti"],
    });
    assert.equal(payload.outcome, outcome);
    assert.equal(payload.referenceId, opened.referenceId);
    assert(payload.exp - payload.iat <= 60 && protectedHeader.kid);
    assert(!JSON.stringify(payload).includes(opened.number.slice(-8)), "no number in an address");
    await assert.rejects(jwtVerify(token, results, { audience: "https://other.example" }));
    const [head, body, signature] = token.split(".");
    const forged = Buffer.from(JSON.stringify({ ...payload, outcome: "VERIFIED", sub: "another" })).toString("base64url");
    await assert.rejects(jwtVerify([head, forged, signature].join("."), results));
    return payload.jti;
}

const tests = {};

// Begun first, looked at last: a code that runs out while its page is open, and a page that is over.
const lapsing = await open({ applicationId: hasty, sends: 1, returnUrl: `${friend}/lapsed` });
const fresh = await open({ applicationId: hasty, sends: 2 });
const over = await open();
await api("DELETE", `/v1/verifications/${over.verificationId}`);
const [lapsingTab, freshTab, deadTab] = [await tab(), await tab(), await tab()];
await lapsingTab.goto(lapsing.pageUrl);
await freshTab.goto(fresh.pageUrl);

tests["the right code, and the way back to the site with a result"] = async () => {
    const opened = await open({ returnUrl: `${friend}/done?order=7`, referenceId: "order 7" });
    const page = await tab();
    const answer = await page.goto(opened.pageUrl);
    const headers = answer.headers();
    const wire = (await answer.body()).length + JSON.stringify(headers).length;
    assert(wire <= 20_000, `${wire} bytes`);
    assert(headers["content-security-policy"].includes(`frame-ancestors ${friend}`));
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.equal(headers["cache-control"], "no-store");
    assert(headers["x-robots-tag"].includes("noindex") && !headers["set-cookie"]);
    const text = await page.locator("main").innerText();
    assert(text.includes("Example Shop") && text.includes(opened.number.slice(-2)));
    assert(!(await page.content()).includes(opened.number.slice(-4)), "the last two digits and no more");
    assert.equal(await field(page).getAttribute("autocomplete"), "one-time-code");
    assert.equal(await field(page).getAttribute("inputmode"), "numeric");
    await state(page, "code");
    await enter(page, await codeOf(opened));
    await page.waitForURL(`${friend}/done**`);
    // A test beside this one leads to the same path, sooner or later.
    const back = () => visits.findLast(visit => visit.path === "/done" && visit.query.has("order"));
    const visit = back();
    assert.deepEqual([visit.query.get("order"), visit.referer], ["7", undefined]);
    const first = await checked(visit.query.get("otpgate_result"), friend, { ...opened, referenceId: "order 7" }, "VERIFIED");
    assert.equal((await look(opened)).state, "VERIFIED");
    // Back from there: the page says how it ended, and leads on again with a result of its own.
    await page.goBack();
    assert.equal(await heading(page), "Your number is confirmed.");
    await state(page, "verified-return");
    await page.click("a.main");
    await page.waitForURL(`${friend}/done**`);
    const again = back().query.get("otpgate_result");
    assert.notEqual(await checked(again, friend, { ...opened, referenceId: "order 7" }, "VERIFIED"), first);
    assert.deepEqual(page.faults, []);
    const foreign = page.asked.filter(url => !url.startsWith(address) && !url.startsWith(friend));
    assert.deepEqual(foreign, []);
    assert.deepEqual(page.asked.filter(url => url.startsWith(address) && !url.startsWith(opened.pageUrl)), []);
};

tests["a site that leads on to another site"] = async () => {
    const opened = await open({ returnUrl: `${friend}/hop` });
    const page = await tab();
    await page.goto(opened.pageUrl);
    await enter(page, await codeOf(opened));
    await page.waitForURL(`${elsewhere}/landed**`);
};

tests["without script, the way back to the site"] = async () => {
    const opened = await open({ returnUrl: `${friend}/plainly` });
    const page = await tab({ javaScriptEnabled: false });
    await page.goto(opened.pageUrl);
    await enter(page, await codeOf(opened));
    await page.waitForURL(`${friend}/plainly**`);
    const visit = visits.findLast(visit => visit.path === "/plainly");
    assert.equal(visit.referer, undefined);
    await checked(visit.query.get("otpgate_result"), friend, opened, "VERIFIED");
};

tests["without script, a site that leads on to another site"] = async () => {
    const opened = await open({ returnUrl: `${friend}/hop` });
    const page = await tab({ javaScriptEnabled: false });
    await page.goto(opened.pageUrl);
    await enter(page, await codeOf(opened));
    await page.waitForURL(`${elsewhere}/landed**`);
    assert.deepEqual(page.faults, []);
};

tests["the recipe's lines check a result"] = async () => {
    const lines = readFileSync(task.recipe, "utf8").match(/```js\n([^]*?)```/)[1];
    const site = "https://www.example.com", gateway = "https://otp.example.com";
    assert(lines.includes(site) && lines.includes(gateway) && lines.startsWith("import "));
    const pasted = lines.replace(/^import .*$/m, "").replaceAll(site, friend).replaceAll(gateway, address)
        .replace("{ … }", "{ return true; }");
    const recipe = new Function("createRemoteJWKSet", "jwtVerify", "query", "session", `return (async () => {${pasted}})();`);
    const opened = await open({ returnUrl: `${friend}/recipe` });
    const page = await tab();
    await page.goto(opened.pageUrl);
    await enter(page, await codeOf(opened));
    await page.waitForURL(`${friend}/recipe**`);
    const query = { otpgate_result: visits.findLast(visit => visit.path === "/recipe").query.get("otpgate_result") };
    const run = session => recipe(createRemoteJWKSet, jwtVerify, query, session);
    assert.equal(await run({ verificationId: opened.verificationId }), true);
    await assert.rejects(run({ verificationId: "another" }));
};

tests["a wrong code, then the right one"] = async () => {
    const opened = await open();
    const page = await tab();
    await page.goto(opened.pageUrl);
    const code = await codeOf(opened);
    await field(page).fill(wrongFor(code));
    await field(page).press("Enter");
    await page.waitForURL(/said=wrong/);
    assert.equal(await page.locator("#fault").textContent(), "That code is wrong. Tries left: 2");
    assert.equal(await field(page).getAttribute("aria-invalid"), "true");
    await state(page, "wrong");
    await page.reload();
    assert.equal((await look(opened)).otp.attemptCount, 1, "reloading enters nothing");
    await enter(page, `${code.slice(0, 3)} ${code.slice(3)}`);
    await page.waitForURL(url => !url.search);
    assert.equal(await heading(page), "Your number is confirmed.");
    await state(page, "verified");
    await page.goBack();
    assert.equal(await heading(page), "Your number is confirmed.", "going back shows how it is, not how it was");
    assert.deepEqual(page.faults, []);
};

tests["too many wrong codes"] = async () => {
    const opened = await open({ returnUrl: `${friend}/failed` });
    const page = await tab();
    await page.goto(opened.pageUrl);
    const code = await codeOf(opened);
    // By its own words: the page before has a fault and a heading too.
    for (const said of ["Tries left: 2", "Tries left: 1", "Too many wrong codes were entered."]) {
        await enter(page, wrongFor(code));
        await page.waitForSelector(`text=${said}`);
    }
    assert.equal(await heading(page), "Too many wrong codes were entered.");
    await state(page, "too-many");
    await page.click("a.main");
    await page.waitForURL(`${friend}/failed**`);
    const token = visits.findLast(visit => visit.path === "/failed").query.get("otpgate_result");
    await checked(token, friend, opened, "TOO_MANY_ATTEMPTS");
};

tests["resend and voice, with a countdown"] = async () => {
    const early = async () => {
        const page = await tab();
        await page.clock.install();
        // Before the message leaves, so that what is done within 30 s of this is too early for the gateway.
        const began = Date.now(), late = () => Date.now() - began >= 30_000;
        const opened = await open({ via: "AUTO" });
        await page.goto(opened.pageUrl);
        const code = await codeOf(opened);
        const again = page.locator("button[value=again]");
        const [disabled, wait] = [await again.isDisabled(), await page.locator("#wait").allTextContents()];
        if (late()) return null;
        assert(disabled && wait.length === 1 && wait[0].match(/^Possible again in \d+ s$/), String(wait));
        await page.clock.runFor(31_000);
        assert(await again.isEnabled() && await page.locator("#wait").count() === 0);
        assert.equal(await page.locator("#told").textContent(), "Send the code again", "who does not see it is told");
        // The page's clock ran ahead: the gateway's has not, and nothing leaves.
        const [answer] = await Promise.all([page.waitForResponse(given => given.request().method() === "POST"), again.click()]);
        if (late()) return null;
        assert.equal(answer.status(), 303);
        assert.equal((await messages(opened.number)).length, 1);
        return [opened, code];
    };
    // Where the machine was too slow for what is too early, with a fresh verification.
    let begun = null;
    for (let tries = 0; tries < 5 && !begun; tries += 1) begun = await early();
    assert(begun, "nothing was pressed within 30 s, five times");
    const [opened, code] = begun;
    // Really waited for.
    await sleep(30_500);
    assert.equal((await messages(opened.number)).length, 1, "nor did it leave afterwards");
    const later = await tab();
    await later.goto(opened.pageUrl);
    await state(later, "may-resend");
    await press(later, "again");
    assert.equal(await codeOf(opened, 2), code, "the same code");
    await later.waitForSelector("#wait");
    await sleep(30_500);
    await later.goto(opened.pageUrl);
    await press(later, "voice");
    await codeOf(opened, 3);
    const [call] = await messages(opened.number);
    assert.equal(call.channel, "VOICE");
    await later.waitForSelector("text=We are calling");
    assert.equal(await later.locator("button[value=again], button[value=voice]").count(), 0, "three were allowed");
    await state(later, "calling");
    await enter(later, code);
    await later.waitForSelector("text=Your number is confirmed.");
};

tests["the first message leaves when the person asks for it"] = async () => {
    const opened = await open({ send: "on_open", via: "AUTO", context: { amount: "12.50", currency: "EUR", payee: "Example Shop" } });
    const page = await tab();
    await page.goto(opened.pageUrl);
    assert(await field(page).count() === 0 && await page.locator("button[value=voice]").count() === 1);
    assert((await page.locator(".for").textContent()).includes("12.50 EUR"));
    await state(page, "begin");
    assert.equal((await messages(opened.number)).length, 0);
    await page.locator("button[value=begin]").dblclick();
    const code = await codeOf(opened);
    await page.waitForSelector("#code");
    await sleep(300);
    assert.equal((await messages(opened.number)).length, 1, "pressed twice, sent once");
    await enter(page, code);
    await page.waitForSelector("text=Your number is confirmed.");
};

tests["not my number"] = async () => {
    const opened = await open();
    const page = await tab();
    await page.goto(opened.pageUrl);
    await press(page, "not_me");
    await page.waitForSelector("text=No more codes will be sent");
    await state(page, "not-me");
    assert.equal((await look(opened)).state, "CANCELLED_BY_PERSON");
};

tests["cancelled by whoever asked, and undeliverable"] = async () => {
    const opened = await open();
    const page = await tab();
    await deaf(page);
    await page.goto(opened.pageUrl);
    await api("DELETE", `/v1/verifications/${opened.verificationId}`);
    await enter(page, "123456");
    await page.waitForSelector("text=This request was cancelled.");
    await state(page, "cancelled");
    const lost = await open({ number: "+12025550103" });
    while ((await look(lost)).state === "OPEN") await sleep(50);
    await page.goto(lost.pageUrl);
    assert.equal(await heading(page), "The code could not be delivered.");
    await state(page, "undeliverable");
};

tests["two tabs"] = async () => {
    const opened = await open();
    const [one, two] = [await tab(), await tab()];
    await deaf(one);
    await one.goto(opened.pageUrl);
    await two.goto(opened.pageUrl);
    const code = await codeOf(opened);
    await enter(one, wrongFor(code));
    await one.waitForSelector("#fault");
    await enter(two, code);
    await two.waitForSelector("text=Your number is confirmed.");
    await enter(one, code);
    await one.waitForSelector("text=Your number is confirmed.");
};

tests["without script: everything, and a double press counts once"] = async () => {
    const began = Date.now(), opened = await open({ sends: 5 });
    const page = await tab({ javaScriptEnabled: false });
    await page.goto(opened.pageUrl);
    await page.screenshot({ path: `${task.shots}/no-script.png`, fullPage: true });
    const code = await codeOf(opened);
    await press(page, "again");
    await page.waitForLoadState();
    const sent = (await messages(opened.number)).length;
    if (Date.now() - began < 30_000) assert.equal(sent, 1, "too early, and harmless");
    assert((await page.locator("#wait").textContent()).match(/\d+ s/));
    await field(page).fill(wrongFor(code));
    await page.locator("button[value=enter]").dblclick();
    await page.waitForSelector("#fault");
    assert.equal((await look(opened)).otp.attemptCount, 1);
    // As a nervous hand does it, and as no browser would: at the same moment.
    const turn = await page.locator("input[name=turn]").getAttribute("value");
    const post = () => fetch(opened.pageUrl, {
        method: "POST", redirect: "manual", body: new URLSearchParams({ action: "enter", turn, code: "222222" === code ? "333333" : "222222" }),
    });
    const pressed = await Promise.all([post(), post(), post()]);
    assert.deepEqual(pressed.map(answer => answer.status), [303, 303, 303]);
    assert.equal((await look(opened)).otp.attemptCount, 2);
    await enter(page, ` ${code.slice(0, 3)}-${code.slice(3)} `);
    await page.waitForSelector("text=Your number is confirmed.");
};

tests["codes with letters"] = async () => {
    const opened = await open({ applicationId: letters });
    const page = await tab();
    await page.goto(opened.pageUrl);
    assert.equal(await field(page).getAttribute("inputmode"), "text");
    await enter(page, await codeOf(opened));
    await page.waitForSelector("text=Your number is confirmed.");
};

tests["paste of a whole message, and WebOTP"] = async () => {
    const opened = await open();
    const page = await tab();
    await page.goto(opened.pageUrl);
    const code = await codeOf(opened);
    const paste = text => field(page).evaluate((element, text) => {
        const clipboardData = new DataTransfer();
        clipboardData.setData("text/plain", text);
        element.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
        return element.value;
    }, text);
    assert.equal(await paste(`Your code is ${code.slice(0, 3)} ${code.slice(3)}. Valid for 5 min.`), code);
    assert.equal(await paste(` ${code.slice(0, 3)}–${code.slice(3)}\n`), code);
    for (const [text, meant] of [
        ["12.50 EUR to Example Shop: 123456", "123456"],
        ["Shop 2024: your code is 123456", "123456"],
        ["123456 5 min", "123456"],
        ["5 min: 123456", "123456"],
        ["654321 EUR to Shop: 123456. Valid for 5 min.", "123456"],
        ["12.50 EUR to Shop 2024: 123 456 (5 min)", "123456"],
        ["验证码123456，5分钟内有效。", "123456"],
        [`123456\n${opened.pageUrl.replace(/.{10}$/, "/987654/99")}`, "123456"],
        ["Shop: 123456\n@otp.example.com #123456", "123456"],
        // One of another length, where it is the only one; and where several could be meant, none of them.
        ["Your code is 12345. Valid for 5 min.", "12345"],
        ["Call 4711 or 12345.", ""],
    ]) {
        await field(page).fill("");
        assert.equal(await paste(text), meant, text);
    }
    const lettered = await open({ applicationId: letters });
    await page.goto(lettered.pageUrl);
    for (const [text, meant] of [
        ["Your password for Example Shop: ab12cd34. Valid for 5 min.", "ab12cd34"],
        ["ab12-cd34", "ab12cd34"],
        ["Your code is abcdefgh.", "abcdefgh"],
    ]) {
        await field(page).fill("");
        assert.equal(await paste(text), meant, text);
    }
    // A phone that read the message: the page hands in what it is given.
    await page.addInitScript(code => {
        globalThis.OTPCredential = class {};
        navigator.credentials.get = async wish => wish.otp.transport[0] === "sms" && { code };
    }, code);
    await page.goto(opened.pageUrl);
    await page.waitForSelector("text=Your number is confirmed.");
};

tests["from right to left, in many scripts, with digits of one's own"] = async () => {
    const opened = await open({ language: "ar", context: { amount: "12.50", currency: "EUR", payee: "متجر" } });
    const page = await tab();
    await page.goto(opened.pageUrl);
    assert.deepEqual(await page.evaluate(() => [document.documentElement.lang, document.documentElement.dir]), ["ar", "rtl"]);
    await state(page, "arabic");
    const code = await codeOf(opened);
    await enter(page, [...code].map(digit => "٠١٢٣٤٥٦٧٨٩"[digit]).join(""));
    await page.waitForSelector("svg.good");
    for (const language of ["de", "ru", "hi", "ja", "zh", "he"]) {
        const other = await open({ language });
        await page.goto(other.pageUrl);
        await state(page, `language-${language}`, ["light"]);
    }
};

tests["at 320 pixels, at 200 %, and with letters of twice the size"] = async () => {
    const opened = await open({ language: "de", via: "AUTO", returnUrl: `${friend}/done` });
    const narrow = await tab({ viewport: { width: 320, height: 640 } });
    await narrow.goto(opened.pageUrl);
    await state(narrow, "narrow");
    const zoomed = await tab({ viewport: { width: 360, height: 380 }, deviceScaleFactor: 2 });
    await zoomed.goto(opened.pageUrl);
    await state(zoomed, "zoomed");
    const large = await tab();
    await large.goto(opened.pageUrl);
    await large.evaluate(() => document.documentElement.style.setProperty("font-size", "200%"));
    await state(large, "large-text");
    const small = await narrow.locator("button, input:not([type=hidden])").evaluateAll(all =>
        all.map(one => one.getBoundingClientRect()).filter(({ width, height }) => width < 24 || height < 24).length);
    assert.equal(small, 0, "WCAG 2.5.8: targets of 24 pixels");
};

tests["any colour, and none"] = async () => {
    const page = await tab();
    for (const colour of ["#ffee58", "#ffffff", "#000000", "#808080", "#1a1d23"]) {
        await api("PATCH", `/v1/applications/${plain}`, { verification: { colour } });
        const opened = await open({ applicationId: plain });
        await page.goto(opened.pageUrl);
        await state(page, `colour-${colour.slice(1)}`);
    }
    await api("PATCH", `/v1/applications/${plain}`, { verification: { colour: null } });
    await page.goto((await open({ applicationId: plain })).pageUrl);
    await state(page, "plain");
};

tests["in a frame: the site that may is told, and the browser keeps it from another"] = async () => {
    const opened = await open({ returnUrl: `${friend}/done` });
    const page = await tab();
    await page.goto(`${elsewhere}/frame?page=${encodeURIComponent(opened.pageUrl)}`);
    const kept = () => page.faults.some(fault => fault.includes("frame-ancestors"));
    for (let looks = 0; !kept() && looks < 300; looks++) await page.waitForTimeout(100);
    assert(kept(), String(page.faults));
    assert.equal(await page.frameLocator("iframe").locator("h1").filter({ hasText: "Verify" }).count(), 0);
    await page.goto(`${friend}/frame?page=${encodeURIComponent(opened.pageUrl)}`);
    const frame = page.frameLocator("iframe");
    await frame.locator("#code").fill(await codeOf(opened));
    await page.screenshot({ path: `${task.shots}/framed.png` });
    await frame.locator("button[value=enter]").click();
    await frame.locator("h1", { hasText: "Your number is confirmed." }).waitFor();
    await page.waitForFunction("told.length > 0");
    const [[origin, told]] = await page.evaluate("told");
    assert.deepEqual([origin, told.type, told.outcome], [address, "otpgate.verification", "VERIFIED"]);
    await checked(told.result, friend, opened, "VERIFIED");
    // On its own the page holds no result.
    const alone = await tab();
    await alone.goto(opened.pageUrl);
    assert(!(await alone.content()).includes("data-result"));
    await frame.locator("a.main").click();
    await page.waitForURL(`${friend}/done**`);
};

tests["what ends elsewhere ends on the open page, in a frame and without"] = async () => {
    const opened = await open({ applicationId: shared });
    const framing = await tab();
    await framing.goto(`${friend}/frame?page=${encodeURIComponent(opened.pageUrl)}`);
    const frame = framing.frameLocator("iframe");
    await frame.locator("#code").waitFor();
    const alone = await tab();
    const other = await open();
    await alone.goto(other.pageUrl);
    const began = Date.now();
    // The code is entered on another device; the other verification is cancelled by the flow.
    const form = new URLSearchParams({ action: "enter", turn: "3.2", code: await codeOf(opened) });
    await fetch(opened.pageUrl, { method: "POST", redirect: "manual", body: form });
    await api("DELETE", `/v1/verifications/${other.verificationId}`);
    await frame.locator("h1", { hasText: "Your number is confirmed." }).waitFor({ timeout: 60_000 });
    await frame.locator("#told", { hasText: "Your number is confirmed." }).waitFor({ state: "attached" });
    await framing.waitForFunction("told.length > 0");
    const [[origin, told]] = await framing.evaluate("told");
    assert.deepEqual([origin, told.type, told.outcome], [address, "otpgate.verification", "VERIFIED"]);
    // One result for all sites that may show it.
    await checked(told.result, friend, opened, "VERIFIED");
    await checked(told.result, "https://www.example.com", opened, "VERIFIED");
    await alone.waitForSelector("text=This request was cancelled.", { timeout: 60_000 });
    // It asks every 30 s at the latest, and its own time runs out after minutes.
    assert(Date.now() - began < 60_000);
    // It asks by its own address, and nothing else; and once it knows, no more.
    const asked = alone.asked.length;
    await sleep(5_000);
    assert.equal(alone.asked.length, asked);
    assert.deepEqual(alone.asked.filter(url => !url.startsWith(other.pageUrl)), []);
    assert.deepEqual(alone.faults, []);
    assert(!framing.faults.some(fault => /content security policy/i.test(fault)), String(framing.faults));
};

tests["what is over says so in a frame as well"] = async () => {
    const framing = await tab();
    await framing.goto(`${friend}/frame?page=${encodeURIComponent(`${address}/verify/${"C".repeat(43)}`)}`);
    await framing.frameLocator("iframe").locator("text=This page is not available.").waitFor();
};

tests["a form from another site does nothing"] = async () => {
    const opened = await open();
    const page = await tab();
    await page.goto(`${elsewhere}/attack?page=${encodeURIComponent(opened.pageUrl)}`);
    await page.waitForURL(`${address}/**`);
    assert.equal(await heading(page), "That did not work. Please try again later.");
    await state(page, "refused");
    assert.equal((await look(opened)).state, "OPEN");
    const post = (body, headers) => fetch(opened.pageUrl, { method: "POST", redirect: "manual", body, headers });
    assert.equal((await post("action=not_me", { "content-type": "text/plain" })).status, 415);
    assert.equal((await post("action=nothing", { "content-type": "application/x-www-form-urlencoded" })).status, 400);
    assert.equal((await post("a".repeat(3000), { "content-type": "application/x-www-form-urlencoded" })).status, 413);
    assert.equal((await post("action=not_me", { "content-type": "application/x-www-form-urlencoded", origin: elsewhere })).status, 403);
    assert.equal((await fetch(opened.pageUrl, { method: "DELETE" })).status, 405);
    assert.equal((await look(opened)).state, "OPEN");
};

tests["a thousand link scanners spend nothing"] = async () => {
    const opened = [await open(), await open({ send: "on_open" })];
    const before = await Promise.all(opened.map(look));
    const kinds = [
        { method: "GET" }, { method: "HEAD" }, { method: "GET", headers: { "sec-purpose": "prefetch" } },
        { method: "GET", headers: { purpose: "prefetch", "user-agent": "Mozilla/5.0 (compatible; SafeLinks)" } },
        { method: "GET", headers: { "sec-purpose": "prefetch;prerender" } },
    ];
    for (let index = 0; index < 1000; index += 20) {
        const some = Array.from({ length: 20 }, (_, offset) => index + offset);
        await Promise.all(some.map(async one => {
            const answer = await fetch(opened[one % 2].pageUrl, kinds[one % kinds.length]);
            assert.equal(answer.status, 200);
            await answer.arrayBuffer();
        }));
    }
    assert.deepEqual(await Promise.all(opened.map(look)), before);
    assert.deepEqual([(await messages(opened[0].number)).length, (await messages(opened[1].number)).length], [1, 0]);
    const page = await tab();
    await page.goto(opened[0].pageUrl);
    await enter(page, await codeOf(opened[0]));
    await page.waitForSelector("text=Your number is confirmed.");
};

tests["a code that runs out while its page is open"] = async () => {
    await lapsingTab.waitForSelector("text=The code is no longer valid.", { timeout: 60_000 });
    assert.equal((await look(lapsing)).state, "EXPIRED");
    await state(lapsingTab, "expired");
    await lapsingTab.click("a.main");
    await lapsingTab.waitForURL(`${friend}/lapsed**`);
    const token = visits.findLast(visit => visit.path === "/lapsed").query.get("otpgate_result");
    await checked(token, friend, lapsing, "EXPIRED");
    // Where another message is allowed, the page offers it.
    await freshTab.waitForSelector("text=The code is no longer valid.", { timeout: 60_000 });
    assert.equal((await look(fresh)).state, "OPEN");
    await state(freshTab, "lapsed");
    const old = await codeOf(fresh);
    await press(freshTab, "again");
    await freshTab.waitForSelector("#code");
    const code = await codeOf(fresh, 2);
    assert(code !== old || (await messages(fresh.number)).length === 2);
    await enter(freshTab, code);
    await freshTab.waitForSelector("text=Your number is confirmed.");
};

tests["what never was and what is over are the same"] = async () => {
    const guessed = `${address}/verify/${"B".repeat(43)}`;
    const answer = async url => {
        const got = await fetch(url, { headers: { "accept-language": "fr" } });
        const headers = Object.fromEntries([...got.headers].filter(([name]) => !["date", "x-request-id"].includes(name)));
        return { status: got.status, headers, body: await got.text() };
    };
    while ((await fetch(over.pageUrl)).status === 200) await sleep(500);
    const unknown = await answer(guessed);
    assert.equal(unknown.status, 404);
    assert(unknown.body.includes("Cette page") && unknown.body.includes('lang="fr"'));
    for (const url of [over.pageUrl, `${address}/verify/x`, `${over.pageUrl}A`, `${over.pageUrl.slice(0, -1)}%41`]) {
        assert.deepEqual(await answer(url), unknown, url);
    }
    const times = { guessed: [], over: [] };
    for (let round = 0; round < 600; round++) {
        for (const [name, url] of [["guessed", guessed], ["over", over.pageUrl]]) {
            const began = performance.now();
            await (await fetch(url)).arrayBuffer();
            times[name].push(performance.now() - began);
        }
    }
    const [one, two] = Object.values(times).map(list => list.sort((a, b) => a - b)[list.length >> 1]);
    console.log(`  an address that never was: ${one.toFixed(3)} ms, one that is over: ${two.toFixed(3)} ms`);
    assert(Math.max(one, two) / Math.min(one, two) < 1.5);
    await deadTab.goto(over.pageUrl);
    assert.equal(await heading(deadTab), "This page is not available.");
    await state(deadTab, "gone");
};

// ---- pictures for the documents

async function pictures(folder) {
    mkdirSync(folder, { recursive: true });
    const shot = async (page, name) => page.locator("main").screenshot({ path: `${folder}/${name}.png` });
    const page = await tab({ viewport: { width: 420, height: 640 } });
    const opened = await open({ number: "+4915112345637", via: "AUTO", returnUrl: "https://www.example.com/done" });
    await page.route("**/*?to=site", route => route.fulfill({ body: "Welcome back." }));
    await page.goto(opened.pageUrl);
    await shot(page, "page-code");
    const code = await codeOf(opened);
    await enter(page, wrongFor(code));
    await page.waitForSelector("#fault");
    await shot(page, "page-wrong");
    await enter(page, code);
    await page.waitForURL("**/*?to=site");
    await page.goBack();
    await shot(page, "page-verified");
    const arabic = await open({ number: "+971501234537", language: "ar" });
    await page.emulateMedia({ colorScheme: "dark" });
    await page.goto(arabic.pageUrl);
    await shot(page, "page-arabic-dark");
}

const only = process.env.ONLY;
const run = async ([name, test]) => {
    try {
        await test();
        console.log(`passed: ${name}`);
        return true;
    } catch (error) {
        console.log(`FAILED: ${name}\n${error.stack}`);
        return false;
    }
};
const chosen = Object.entries(tests).filter(([name]) => !only || name.includes(only));
// These wait for clocks, not for the processor: all at once, beside the others.
const sleepers = [
    "resend and voice, with a countdown", "a code that runs out while its page is open",
    "what ends elsewhere ends on the open page, in a frame and without",
];
// This one measures.
const measured = ["what never was and what is over are the same"];
for (const name of [...sleepers, ...measured]) assert(tests[name], name);
const named = names => chosen.filter(([name]) => names.includes(name));
const rest = chosen.filter(one => !named([...sleepers, ...measured]).includes(one));
const passed = [];
const inTurn = async queue => {
    for (let one; (one = queue.shift());) passed.push(await run(one));
};
await Promise.all([...named(sleepers).map(one => [one]), rest, rest, rest, rest].map(inTurn));
await inTurn(named(measured));
if (task.images) await pictures(task.images);
await browser.close();
console.log(`${seen.size} states, each looked at by axe`);
process.exit(passed.every(Boolean) ? 0 : 1);
