// Readiness towards systemd (sd_notify(3) without its library).
#pragma once

// Send a state such as "READY=1" to $NOTIFY_SOCKET; nothing happens when it is not set.
void notify_systemd(const char *state);
