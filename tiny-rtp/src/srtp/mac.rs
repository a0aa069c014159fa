//! HMAC-SHA1 (RFC 2104, RFC 3711 §4.2.1) with both pads hashed beforehand: a packet costs its own
//! blocks and one more. The states are wiped on drop.

use sha1::block_api::compress;
use zeroize::Zeroizing;

type State = [u32; 5];

const START: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
const BLOCK: usize = 64;

/// A key, ready to authenticate.
pub(super) struct HmacSha1 {
    inner: Zeroizing<State>,
    outer: Zeroizing<State>,
}

impl HmacSha1 {
    /// A key of at most one block; SRTP's have 20 octets.
    pub(super) fn new(key: &[u8; 20]) -> Self {
        let pad = |with: u8| {
            let mut block = Zeroizing::new([[with; BLOCK]]);
            for (b, k) in block[0].iter_mut().zip(key) {
                *b ^= k;
            }
            let mut state = Zeroizing::new(START);
            compress(&mut state, &*block);
            state
        };
        Self { inner: pad(0x36), outer: pad(0x5c) }
    }

    /// The code of `data` followed by `suffix`, which has at most 8 octets (the rollover counter).
    #[inline]
    pub(super) fn tag(&self, data: &[u8], suffix: &[u8]) -> [u8; 20] {
        debug_assert!(suffix.len() <= 8);
        let mut state = *self.inner;
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        compress(&mut state, blocks);
        // What is left, the suffix, the end mark and the length in bits: at most two blocks.
        let mut last = [[0u8; BLOCK]; 2];
        let flat = last.as_flattened_mut();
        let end = rest.len() + suffix.len();
        flat[..rest.len()].copy_from_slice(rest);
        flat[rest.len()..end].copy_from_slice(suffix);
        flat[end] = 0x80;
        let count = if end + 9 <= BLOCK { 1 } else { 2 };
        let bits = ((BLOCK + data.len() + suffix.len()) as u64) * 8;
        flat[count * BLOCK - 8..count * BLOCK].copy_from_slice(&bits.to_be_bytes());
        compress(&mut state, &last[..count]);

        let mut block = [0u8; BLOCK];
        write(&state, &mut block);
        block[20] = 0x80;
        block[BLOCK - 8..].copy_from_slice(&(((BLOCK + 20) * 8) as u64).to_be_bytes());
        let mut state = *self.outer;
        compress(&mut state, &[block]);
        let mut tag = [0u8; 20];
        write(&state, &mut tag);
        tag
    }
}

fn write(state: &State, out: &mut [u8]) {
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
}
