//! Session descriptions for tiny-ua: RFC 8866 parse and print, RFC 3264 offer/answer
