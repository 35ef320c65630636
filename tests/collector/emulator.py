"""Run the third-party ELM327 emulator over TCP or a pty, with trouble codes stored; a process of its own."""

from __future__ import annotations

import sys

from elm import Elm, obd_message

# The count that stands before the codes on CAN is left out by the emulator: it is part of the first entry here.
obd_message.DTC_STORED[:] = ["030143", "0196", "0234"]
obd_message.DTC_PENDING[:] = ["010300"]
obd_message.DTC_PERMANENT[:] = ["010420"]

if __name__ == "__main__":
    port = int(sys.argv[1])
    session = Elm(net_port=port) if port else Elm(batch_mode=True)
    session.set_defaults()
    session.set_sorted_obd_msg("car")
    if not port:
        sys.stdout.write(f"{session.get_pty()}\n")
        sys.stdout.flush()
    session.run()
