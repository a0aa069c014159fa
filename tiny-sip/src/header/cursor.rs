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

    pub(crate) fn token(&mut self) -> Result<&'a str, Flaw> {
        let token = self.run(chars::TOKEN);
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

    /// `*( SEMI generic-param )`, checked; `see` is told of each name and raw value.
    #[inline]
    pub(crate) fn params(
        &mut self,
        mut see: impl FnMut(&'a str, Option<&'a str>),
    ) -> Result<Params<'a>, Flaw> {
        let start = self.pos;
        let mut end = start;
        loop {
            self.blanks();
            if !self.eat(b';') {
                break;
            }
            self.blanks();
            // An empty parameter (`;;` or a `;` at the end) is common enough to be let through.
            if matches!(self.peek(), None | Some(b';' | b',')) {
                end = self.pos;
                continue;
            }
            let name = self.run(chars::TOKEN);
            if name.is_empty() {
                return Err(Flaw::Param);
            }
            end = self.pos;
            self.blanks();
            if self.eat(b'=') {
                self.blanks();
                let value = if self.peek() == Some(b'"') {
                    self.quoted()?
                } else {
                    let value = self.run(chars::VALUE);
                    if value.is_empty() {
                        return Err(Flaw::Param);
                    }
                    value
                };
                end = self.pos;
                see(name, Some(value));
            } else {
                see(name, None);
            }
        }
        Ok(Params::checked(self.text.get(start..end).unwrap_or_default()))
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
