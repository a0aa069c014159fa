//! The first look at a received description, before anything is allocated: bounds, type letters,
//! and the lines that must be there (RFC 8866 §5).

use crate::{Limits, ParseError};

/// The type letters of RFC 8866 §5.
const LETTERS: &[u8] = b"vosiuepcbtrzkam";

/// Checks size, line count, line length, type letters and media count, and that `v=` and `o=` are
/// there. Order is left alone: devices in the field write `c=` after `t=` and the like.
pub(crate) fn scan(data: &[u8], limits: &Limits) -> Result<(), ParseError> {
    let over = |limit, allowed| Err(ParseError::Limit { limit, allowed });
    if data.len() > limits.max_bytes {
        return over("max_bytes", limits.max_bytes);
    }
    let (mut lines, mut media, mut candidates, mut origin) = (0, 0, 0, false);
    for (n, line) in data.split(|b| *b == b'\n').enumerate() {
        if line.is_empty() || line == b"\r" {
            continue;
        }
        lines += 1;
        if lines > limits.max_lines {
            return over("max_lines", limits.max_lines);
        }
        if line.len() > limits.max_line {
            return over("max_line", limits.max_line);
        }
        match line[0] {
            // §5: a description with a type letter that is not defined must be ignored whole.
            letter if !LETTERS.contains(&letter) => {
                return Err(ParseError::UnknownType { line: n + 1, letter });
            }
            b'm' => {
                media += 1;
                candidates = 0;
                if media > limits.max_media {
                    return over("max_media", limits.max_media);
                }
                // media, port and protocol come before the formats.
                if line.iter().filter(|b| **b == b' ').count() > limits.max_formats + 2 {
                    return over("max_formats", limits.max_formats);
                }
            }
            b'o' => origin = true,
            b'a' if line.starts_with(b"a=candidate:") => {
                candidates += 1;
                if candidates > limits.max_candidates {
                    return over("max_candidates", limits.max_candidates);
                }
            }
            _ => {}
        }
    }
    if !origin {
        return Err(ParseError::Missing { letter: if lines == 0 { 'v' } else { 'o' } });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 8\r\na=candidate:1\r\n";

    #[test]
    fn each_limit_names_itself() {
        let base = Limits::default();
        assert_eq!(scan(OK.as_bytes(), &base), Ok(()));
        let cases: [(Limits, &str); 6] = [
            (Limits { max_bytes: 10, ..base.clone() }, "max_bytes"),
            (Limits { max_line: 10, ..base.clone() }, "max_line"),
            (Limits { max_lines: 4, ..base.clone() }, "max_lines"),
            (Limits { max_media: 0, ..base.clone() }, "max_media"),
            (Limits { max_candidates: 0, ..base.clone() }, "max_candidates"),
            (Limits { max_formats: 1, ..base }, "max_formats"),
        ];
        for (limits, name) in cases {
            match scan(OK.as_bytes(), &limits) {
                Err(ParseError::Limit { limit, .. }) => assert_eq!(limit, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_unknown_type_letter_spoils_the_description() {
        let sdp = format!("{OK}f=invalid:yes\r\n");
        assert_eq!(
            scan(sdp.as_bytes(), &Limits::default()),
            Err(ParseError::UnknownType { line: 7, letter: b'f' })
        );
    }

    #[test]
    fn nothing_and_a_missing_origin_are_told_apart() {
        let limits = Limits::default();
        assert_eq!(scan(b"", &limits), Err(ParseError::Missing { letter: 'v' }));
        assert_eq!(scan(b"v=0\r\ns=-\r\n", &limits), Err(ParseError::Missing { letter: 'o' }));
    }
}
