//! Reading and writing the vectors of TLS (RFC 5246 §4). Reading never panics and never allocates.

/// What is left of a message.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn number(&mut self, octets: usize) -> Option<u64> {
        let taken = self.take(octets)?;
        Some(taken.iter().fold(0, |n, octet| n << 8 | u64::from(*octet)))
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(self.number(2)? as u16)
    }

    /// A vector whose length takes so many octets.
    pub(super) fn vector(&mut self, octets: usize) -> Option<&'a [u8]> {
        let length = self.number(octets)? as usize;
        self.take(length)
    }

    /// A vector of 16-bit numbers, not empty.
    pub(super) fn numbers(&mut self) -> Option<Vec<u16>> {
        let list = self.vector(2)?;
        if list.is_empty() || list.len() % 2 != 0 {
            return None;
        }
        Some(list.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
    }

    /// `None` when something is left over.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Appends to a message.
pub(super) trait Write {
    fn u16(&mut self, number: u16);
    fn u24(&mut self, number: usize);
    /// A vector whose length takes so many octets, filled by `with`.
    fn vector(&mut self, octets: usize, with: impl FnOnce(&mut Vec<u8>));
}

impl Write for Vec<u8> {
    fn u16(&mut self, number: u16) {
        self.extend_from_slice(&number.to_be_bytes());
    }

    fn u24(&mut self, number: usize) {
        self.extend_from_slice(&(number as u32).to_be_bytes()[1..]);
    }

    fn vector(&mut self, octets: usize, with: impl FnOnce(&mut Vec<u8>)) {
        let start = self.len();
        self.resize(start + octets, 0);
        with(self);
        let length = (self.len() - start - octets) as u64;
        self[start..start + octets].copy_from_slice(&length.to_be_bytes()[8 - octets..]);
    }
}
