// Shows what a push message says, and opens its page. Nothing is cached.
/// <reference lib="webworker" />
const worker = self as unknown as ServiceWorkerGlobalScope;

worker.addEventListener("push", (event) => {
  const data = event.data?.json() as { title?: string; body?: string; url?: string; tag?: string } | undefined;
  event.waitUntil(
    worker.registration.showNotification(data?.title ?? "Motorpool", {
      body: data?.body ?? "",
      tag: data?.tag ?? "alert",
      icon: "/static/favicon.svg",
      data: { url: data?.url ?? "/alerts" },
    }),
  );
});

worker.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = (event.notification.data as { url: string }).url;
  // Only a page of this portal is opened, whatever the message says.
  const target = new URL(url, location.origin);
  event.waitUntil(worker.clients.openWindow(target.origin === location.origin ? target.href : "/alerts"));
});
