//! Comma lists whose elements need no more than splitting (RFC 3261 §7.3.1).

use super::chars;

/// The elements of a comma list, trimmed; empty ones are skipped. Commas inside quoted strings and
/// inside `<…>` do not count.
#[derive(Debug, Clone)]
pub struct List<'a>(&'a str);

/// Splits the value of one header line.
pub fn split_commas(value: &str) -> List<'_> {
    List(value)
}

impl<'a> Iterator for List<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while !self.0.is_empty() {
            let bytes = self.0.as_bytes();
            let (mut quoted, mut enclosed) = (false, false);
            let special = bytes.iter().position(|b| matches!(b, b',' | b'"' | b'<'));
            let mut i = special.unwrap_or(bytes.len());
            while i < bytes.len() {
                match bytes[i] {
                    b'\\' if quoted => i += 1,
                    b'"' if !enclosed => quoted = !quoted,
                    b'<' if !quoted => enclosed = true,
                    b'>' if !quoted => enclosed = false,
                    b',' if !quoted && !enclosed => break,
                    _ => {}
                }
                i += 1;
            }
            let element = self.0.get(..i).unwrap_or(self.0);
            self.0 = self.0.get(i + 1..).unwrap_or_default();
            let element = chars::trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        let all: Vec<_> = split_commas(r#"a , "b,\",c" ,, <d,e>;x="<", f"#).collect();
        assert_eq!(all, ["a", r#""b,\",c""#, r#"<d,e>;x="<""#, "f"]);
        assert_eq!(split_commas("").count(), 0);
        assert_eq!(split_commas("\"\\").count(), 1);
    }
}
