//! tiny-ua
