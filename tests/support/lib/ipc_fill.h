// Messages with the least that ipc_check accepts.
#pragma once

#include "lib/ipc/ipc.h"

#define SID (1u << 24 | 5) // the session that they are about

void ipc_fill(union ipc_msg *, unsigned type);
