//! RTP and RTCP for tiny-ua, without I/O
