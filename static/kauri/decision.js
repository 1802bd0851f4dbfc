// The page of one decision: its dialogs, and one key for each act.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
    const open = (id) => {
        const dialog = document.getElementById(id);
        if (!dialog || dialog.open) return;
        dialog.showModal();
        const first = dialog.querySelector("[autofocus]") || dialog.querySelector("select, textarea");
        if (first) first.focus();
    };

    document.addEventListener("click", (event) => {
        const opener = event.target.closest("[data-open]");
        if (opener) open(opener.dataset.open);
        const closer = event.target.closest("[data-close]");
        if (closer) closer.closest("dialog").close();
    });

    // One click, one request: the second would only be told that the first was there.
    document.addEventListener("submit", (event) => {
        if (event.target.dataset.sent) {
            event.preventDefault();
            return;
        }
        event.target.dataset.sent = "1";
    });

    document.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
        if (document.querySelector("dialog[open]") || event.target.closest("input, textarea, select, [contenteditable]")) return;
        const target = document.querySelector(`#decision [data-key="${CSS.escape(event.key.toLowerCase())}"]`);
        if (!target) return;
        event.preventDefault();
        target.click();
    });

    // The order changed hands or was decided while the page lay open: what is shown is no longer true.
    const standing = document.querySelector("[data-refresh]");
    const before = standing ? standing.textContent.trim().replace(/\s+/g, " ") : "";
    document.body.addEventListener("htmx:afterSwap", () => {
        const now = standing.textContent.trim().replace(/\s+/g, " ");
        if (now !== before && !document.querySelector("dialog[open]")) window.location.reload();
    });
});
