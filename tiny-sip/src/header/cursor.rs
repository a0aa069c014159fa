//! A position in a header field's value.

use super::chars;
use super::{Flaw, Params};

#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    pos: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, pos: 0 }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    #[inline]
    pub(crate) fn eat(&mut self, b: u8) -> bool {
        let hit = self.peek() == Some(b);
        self.pos += usize::from(hit);
        hit
    }

    #[inline]
    pub(crate) fn blanks(&mut self) {
        while self.peek().is_some_and(chars::is_blank) {
            self.pos += 1;
        }
    }

    /// `b` with optional blanks around it.
    pub(crate) fn eat_spaced(&mut self, b: u8) -> bool {
        self.blanks();
        let hit = self.eat(b);
        if hit {
            self.blanks();
        }
        hit
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.pos..).unwrap_or_default()
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    /// The next `len` bytes, which end beside an ASCII character.
    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> &'a str {
        let taken = self.text.get(self.pos..self.pos + len).unwrap_or_default();
        self.pos += len;
        taken
    }

    #[inline]
    pub(crate) fn run(&mut self, class: u8) -> &'a str {
        self.take(chars::span(self.bytes(), class))
    }

    /// [`Cursor::run`] for a few characters.
    #[inline]
    pub(crate) fn run_short(&mut self, class: u8) -> &'a str {
        self.take(chars::span_short(self.bytes(), class))
    }

    pub(crate) fn token(&mut self) -> Result<&'a str, Flaw> {
        let token = self.run_short(chars::TOKEN);
        if token.is_empty() { Err(Flaw::Token) } else { Ok(token) }
    }

    /// The inside of a quoted string; the cursor stands on its opening quote. Escapes stay.
    pub(crate) fn quoted(&mut self) -> Result<&'a str, Flaw> {
        let bytes = self.bytes();
        let mut i = 1;
        loop {
            match memchr::memchr2(b'"', b'\\', bytes.get(i..).unwrap_or_default()) {
                Some(n) if bytes[i + n] == b'"' => {
                    let end = i + n;
                    self.pos += 1;
                    let inside = self.take(end - 1);
                    self.pos += 1;
                    return Ok(inside);
                }
                Some(n) => i += n + 2,
                None => return Err(Flaw::Quote),
            }
        }
    }

    /// `*( SEMI generic-param )`, checked, and the value of the first parameter named `wanted`.
    #[inline]
    pub(crate) fn params(&mut self, wanted: &str) -> Result<(Params<'a>, Option<&'a str>), Flaw> {
        let bytes = self.text.as_bytes();
        let (start, mut pos, mut end, mut found) = (self.pos, self.pos, self.pos, None);
        let at = |pos: usize| bytes.get(pos).copied();
        let blanks = |mut pos: usize| {
            while at(pos).is_some_and(chars::is_blank) {
                pos += 1;
            }
            pos
        };
        loop {
            pos = blanks(pos);
            if at(pos) != Some(b';') {
                break;
            }
            pos = blanks(pos + 1);
            // An empty parameter (`;;` or a `;` at the end) is common enough to be let through.
            if matches!(at(pos), None | Some(b';' | b',')) {
                end = pos;
                continue;
            }
            let name = pos;
            while at(pos).is_some_and(|b| chars::is(b, chars::TOKEN)) {
                pos += 1;
            }
            if pos == name {
                return Err(Flaw::Param);
            }
            end = pos;
            let is_wanted = pos - name == wanted.len()
                && found.is_none()
                && bytes[name..pos].eq_ignore_ascii_case(wanted.as_bytes());
            pos = blanks(pos);
            if at(pos) != Some(b'=') {
                continue;
            }
            pos = blanks(pos + 1);
            let value;
            if at(pos) == Some(b'"') {
                let mut cursor = Self { text: self.text, pos };
                let inside = cursor.quoted()?.len();
                value = pos + 1..pos + 1 + inside;
                pos = cursor.pos;
            } else {
                value = pos..pos + chars::span(&bytes[pos..], chars::VALUE);
                if value.is_empty() {
                    return Err(Flaw::Param);
                }
                pos = value.end;
            }
            if is_wanted {
                found = self.text.get(value);
            }
            end = pos;
        }
        self.pos = pos;
        Ok((Params::checked(self.text.get(start..end).unwrap_or_default()), found))
    }

    /// Blanks, then the end of the value.
    pub(crate) fn end(mut self) -> Result<(), Flaw> {
        self.blanks();
        if self.pos >= self.text.len() { Ok(()) } else { Err(Flaw::Trailing) }
    }

    /// Blanks, then the end of the value or a comma that begins the next element.
    pub(crate) fn end_of_element(&mut self) -> Result<(), Flaw> {
        self.blanks();
        match self.peek() {
            None => Ok(()),
            Some(b',') => {
                self.pos += 1;
                Ok(())
            }
            Some(_) => Err(Flaw::Trailing),
        }
    }
}
