// The dialogs above a list, and columns that change places.
"use strict";

(() => {
    document.addEventListener("click", (event) => {
        const opener = event.target.closest("[data-open]");
        const dialog = opener && document.getElementById(opener.dataset.open);
        if (dialog && !dialog.open) {
            dialog.showModal();
            dialog.querySelector("input:not([type=hidden]), select, button")?.focus();
        }
        event.target.closest("[data-close]")?.closest("dialog").close();

        const mover = event.target.closest("[data-move]");
        if (!mover) return;
        const row = mover.closest("li");
        const other = mover.dataset.move === "up" ? row.previousElementSibling : row.nextElementSibling;
        if (!other) return;
        if (mover.dataset.move === "up") other.before(row);
        else other.after(row);
        mover.focus();
    });
})();
