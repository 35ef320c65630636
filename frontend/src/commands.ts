// A page of commands waits for the open one's outcome, then shows it.
const EVERY = 500;
const LONGEST = 120_000;

const waits = document.querySelector<HTMLElement>("[data-waits]");
if (waits) {
  const begun = Date.now();
  const look = async (): Promise<void> => {
    try {
      const answer = await fetch(`/api/v1/commands/${waits.dataset.waits}`, { credentials: "same-origin" });
      const command = (await answer.json()) as { state?: string };
      if (answer.ok && command.state !== "queued" && command.state !== "sent") {
        location.assign(location.pathname);
        return;
      }
    } catch {
      // away for a moment: ask again
    }
    if (Date.now() - begun < LONGEST) {
      setTimeout(() => void look(), EVERY);
    }
  };
  setTimeout(() => void look(), EVERY);
}
