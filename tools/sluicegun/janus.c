#include "tools/sluicegun/peer.h"
const struct signaling signaling_janus = {};
