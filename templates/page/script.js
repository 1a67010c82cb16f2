// What makes the page better where scripts run; it works without. Served without comments, and without
// the spaces around what is between words: no text in here may have such.
(() => {
    const by = id => document.getElementById(id), field = by("code"), wait = by("wait"), page = document.body.dataset;
    let gone = false;
    // A second press of a button while the first is on its way does nothing.
    addEventListener("submit", event => {
        if (gone) event.preventDefault();
        gone = true;
    });
    addEventListener("pageshow", () => { gone = false; });
    if (field) {
        // Out of a whole message the code alone: what has its length. An amount, a year or the minutes do not, and of
        // several the last one is meant, because a message names the payee first. Its address is no code.
        const pasted = text => {
            const fits = word => word.length == field.dataset.length, digits = field.inputMode === "numeric";
            const bare = text.replace(/[\s.\-\u2010-\u2015]/g, "");
            if (fits(bare)) return bare;
            text = text.replace(/https?:\S+/g, " ");
            const words = text.match(digits ? /\d+/g : /[a-z\d]+/gi) || [], whole = words.filter(fits);
            const mixed = whole.filter(word => /\d/.test(word));
            if (mixed[0]) return mixed.pop();
            if (!digits) return whole.length === 1 && whole[0];
            // In groups: as many neighbours as come to the length. Else the only number that could be one.
            const groups = (text.match(/\d+(?:[\s.\-\u2010-\u2015]\d+)+/g) || []).flatMap(chain => {
                const parts = chain.match(/\d+/g);
                // Each has a digit at least, so no more of them than the code is long.
                return parts.flatMap((_, from) => parts.slice(from, from + +field.dataset.length)
                    .map((_, more) => parts.slice(from, from + more + 1).join("")));
            });
            const some = words.filter(word => word.length > 3 && word.length < 11);
            return groups.filter(fits).pop() || some.length === 1 && some[0];
        };
        field.addEventListener("paste", event => {
            const code = pasted(event.clipboardData.getData("text"));
            if (!code) return;
            event.preventDefault();
            field.value = code;
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
    // Not while a form is on its way: that leads to a look as well.
    const look = () => gone || location.replace(location.pathname);
    // When the time runs out, the page says so.
    if (page.seconds) setTimeout(look, page.seconds * 1000 + 700);
    // It may end elsewhere: while somebody sees the page, or it stands in a frame whose parent is to be told, it asks, first
    // after two seconds, later every half a minute.
    if ("open" in page) {
        let gap = 2e3, timer;
        const later = () => {
            clearTimeout(timer);
            timer = setTimeout(ask, gap);
            gap = Math.min(gap * 1.25, 3e4);
        };
        const ask = () => document.hidden && parent === window || fetch(location.pathname, { method: "HEAD" }).then(answer =>
            answer.status === 404 || answer.headers.get("verification-state") === "ended" ? look() : later(), later);
        document.addEventListener("visibilitychange", () => {
            gap = 2e3;
            ask();
        });
        later();
    }
    // On to the site by a step of its own: a policy on forms also binds all redirects after one, those of the site too.
    const onward = document.querySelector("[data-goes]");
    if (onward && parent === window) location.replace(onward.href);
    // In a frame: whoever is allowed to show it is told how it ended, and nobody else.
    if (page.outcome && parent !== window) setTimeout(() => { by("told").textContent = document.title; }, 300);
    const tell = by("tell");
    if (tell && parent !== window) tell.dataset.origin.split(" ").forEach(origin => parent.postMessage(
        { type: "otpgate.verification", outcome: page.outcome, result: tell.dataset.result }, origin));
})();
