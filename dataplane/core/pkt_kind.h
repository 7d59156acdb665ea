// What a packet is to the workers it passes through: pkt_of(m)->kind.
#pragma once

enum pkt_kind {
	PKT_STUN,
	PKT_DTLS,
	PKT_RTP,
	PKT_RTCP,
	PKT_FANOUT, // opened RTP on its way to another worker's receivers
	PKT_GONE,   // no data: the connection it names was closed
	PKT_INJECT, // datagram of the control plane for the session
};
