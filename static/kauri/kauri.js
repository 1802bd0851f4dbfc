// What every page needs: copying, and figures that refresh themselves while somebody is there.
"use strict";

(() => {
    // A page left alone stops asking, so that the server's idle limit can end the session.
    const AWAY_AFTER = 5 * 60 * 1000;
    let lastSeen = Date.now();
    for (const name of ["pointerdown", "pointermove", "keydown", "scroll"]) {
        window.addEventListener(name, () => { lastSeen = Date.now(); }, { passive: true });
    }

    document.addEventListener("click", (event) => {
        const button = event.target.closest("[data-copy]");
        if (!button) return;
        event.preventDefault();
        event.stopPropagation();
        const done = () => {
            button.classList.add("k-copied");
            window.setTimeout(() => button.classList.remove("k-copied"), 1200);
        };
        if (navigator.clipboard) {
            navigator.clipboard.writeText(button.dataset.copy).then(done, () => {});
            return;
        }
        // Without https there is no clipboard API: select a throw-away field instead.
        const field = document.createElement("textarea");
        field.value = button.dataset.copy;
        button.append(field);
        field.select();
        document.execCommand("copy");
        field.remove();
        done();
    }, true);

    // Unfold hides the page until Alpine is up, and what is hidden takes no focus: give it afterwards.
    document.addEventListener("alpine:initialized", () => window.setTimeout(() => {
        const first = document.querySelector("form [autofocus]");
        if (first && !first.closest("dialog") && document.activeElement === document.body) first.focus();
    }));

    // Django's own choosers leave their parts without a name: nobody would hear what they are.
    window.addEventListener("load", () => window.setTimeout(() => {
        for (const hint of document.querySelectorAll(".help-tooltip[aria-label]")) hint.setAttribute("role", "img");
        for (const box of document.querySelectorAll(".select2-selection")) {
            const field = box.closest(".select2-container").previousElementSibling;
            const name = document.querySelector(`label[for="${field?.id}"]`)?.textContent.trim();
            if (!name) continue;
            box.removeAttribute("aria-labelledby");
            for (const part of [box, box.querySelector("[role=textbox]")]) part?.setAttribute("aria-label", name);
        }
    }));

    function refresh(holder) {
        if (document.hidden || Date.now() - lastSeen > AWAY_AFTER || document.querySelector("dialog[open]")) return;
        if (holder.dataset.if && !holder.querySelector(`[data-state="${holder.dataset.if}"]`)) return;
        window.htmx.ajax("GET", holder.dataset.refresh, { target: holder, swap: "innerHTML" });
    }

    document.addEventListener("DOMContentLoaded", () => {
        for (const holder of document.querySelectorAll("[data-refresh]")) {
            window.setInterval(() => refresh(holder), Number(holder.dataset.every) * 1000);
        }
        // Something on the page is being made: look again soon, unless somebody is typing.
        if (document.querySelector("[data-busy]")) {
            window.setInterval(() => {
                const typing = document.activeElement?.matches("input, textarea, select") || document.querySelector("#dialog")?.checkVisibility();
                if (!document.hidden && !typing && Date.now() - lastSeen < AWAY_AFTER) window.location.reload();
            }, 4000);
        }
    });
})();
