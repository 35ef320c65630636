#!/bin/sh
# Install the collector as a service: sudo deploy/collector/install.sh [extras, default obd,can,gps]
set -eu
extras=${1:-obd,can,gps}
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || { echo "run it as root: sudo $0" >&2; exit 1; }

id motorpool >/dev/null 2>&1 || useradd --system --home-dir /var/lib/motorpool --shell /usr/sbin/nologin motorpool
install -d -m 0755 /opt/motorpool
install -d -m 0750 -o root -g motorpool /etc/motorpool
install -d -m 0750 -o motorpool -g motorpool /var/lib/motorpool
[ -x /opt/motorpool/venv/bin/python ] || python3 -m venv /opt/motorpool/venv
/opt/motorpool/venv/bin/pip install --quiet --upgrade "$here/../../collector[$extras]"
install -m 0644 "$here/../../docs/collector.md" /opt/motorpool/collector.md
install -m 0644 "$here/motorpool-collector.service" /etc/systemd/system/
install -m 0644 "$here/99-motorpool.rules" /etc/udev/rules.d/
systemctl daemon-reload
udevadm control --reload-rules || true

if [ ! -e /etc/motorpool/collector.toml ]; then
  (cd /var/lib/motorpool && /opt/motorpool/venv/bin/motorpool-collector init \
    --config /etc/motorpool/collector.toml --spool /var/lib/motorpool/spool.sqlite3)
  chown root:motorpool /etc/motorpool/collector.*
  chmod 0640 /etc/motorpool/collector.*
fi
systemctl enable --now motorpool-collector
echo "Installed. journalctl -u motorpool-collector -f shows what it says."
