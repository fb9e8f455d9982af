"use strict";

const token = document.querySelector("meta[name=csrf-token]").content;

document.addEventListener("click", async (event) => {
  const book = event.target.dataset.book;
  if (!book) return;
  const answer = await fetch("/api/orders", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": token },
    body: JSON.stringify({ book: Number(book) }),
  });
  const sold = document.querySelector("#sold");
  sold.textContent = answer.ok ? `${(await answer.json()).sold} sold` : "Log in to order.";
});

document.querySelector("#search")?.addEventListener("input", async (event) => {
  const answer = await fetch(`/api/books?q=${encodeURIComponent(event.target.value)}`);
  const titles = (await answer.json()).map((book) => book.title);
  for (const item of document.querySelectorAll("#books li")) {
    item.hidden = !titles.some((title) => item.textContent.includes(title));
  }
});
