// What makes the page better where scripts run; it works without. Served with lines trimmed and comments dropped.
(() => {
    const by = id => document.getElementById(id), field = by("code"), wait = by("wait"), page = document.body.dataset;
    let gone = false;
    // A second press of a button while the first is on its way does nothing. What is sent says that scripts run.
    addEventListener("submit", event => {
        if (gone) event.preventDefault();
        gone = true;
        event.target.append(Object.assign(document.createElement("input"), { type: "hidden", name: "by", value: "script" }));
    });
    addEventListener("pageshow", () => { gone = false; });
    if (field) {
        // Out of a whole message the code alone; spaces and dashes within it do not count.
        field.addEventListener("paste", event => {
            const text = event.clipboardData.getData("text");
            const [found] = (field.inputMode === "numeric" && text.match(/\d(?:[\s.\-\u2010-\u2015]?\d){3,10}/)) || [text];
            event.preventDefault();
            field.value = found.replace(/[\s.\-\u2010-\u2015]/g, "");
        });
        if ("OTPCredential" in window) {
            const stop = new AbortController();
            addEventListener("submit", () => stop.abort());
            navigator.credentials.get({ otp: { transport: ["sms"] }, signal: stop.signal }).then(given => {
                field.value = given.code;
                field.form.requestSubmit(field.form.querySelector("button"));
            }, () => {});
        }
    }
    if (wait) {
        const until = Date.now() + wait.dataset.seconds * 1000, text = wait.dataset.text;
        const held = [...document.querySelectorAll("[data-later]")];
        const tick = () => {
            const left = Math.ceil((until - Date.now()) / 1000);
            held.forEach(button => { button.disabled = left > 0; });
            if (left > 0) {
                wait.textContent = text.replace("{0}", left);
                setTimeout(tick, 250);
            } else {
                wait.remove();
                by("told").textContent = held[0] ? held[0].textContent : "";
            }
        };
        tick();
    }
    // When the time runs out, the page says so.
    if (page.seconds) setTimeout(() => location.replace(location.pathname), page.seconds * 1000 + 700);
    // On to the site by a step of its own: a policy on forms also binds all redirects after one, those of the site too.
    const onward = document.querySelector("[data-goes]");
    if (onward && parent === window) location.replace(onward.href);
    // In a frame: whoever is allowed to show it is told how it ended, and nobody else.
    if (parent !== window) document.querySelectorAll("[data-origin]").forEach(({ dataset }) => parent.postMessage(
        { type: "otpgate.verification", outcome: page.outcome, result: dataset.result }, dataset.origin));
})();
