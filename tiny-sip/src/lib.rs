//! SIP for tiny-ua, without I/O: messages, transactions, dialogs, usages
