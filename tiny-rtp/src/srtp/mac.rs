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
    /// SRTP's keys have 20 octets; others are taken as RFC 2104 §2 says.
    pub(super) fn new(key: &[u8]) -> Self {
        let mut first = Zeroizing::new([0u8; BLOCK]);
        match first.get_mut(..key.len()) {
            Some(part) => part.copy_from_slice(key),
            None => write(&finish(START, 0, key, &[]), &mut first[..20]),
        }
        let pad = |with: u8| {
            let block = Zeroizing::new([first.map(|octet| octet ^ with)]);
            let mut state = Zeroizing::new(START);
            compress(&mut state, &*block);
            state
        };
        Self { inner: pad(0x36), outer: pad(0x5c) }
    }

    /// The code of `data` followed by `suffix`, which has at most 8 octets (the rollover counter).
    #[inline]
    pub(super) fn tag(&self, data: &[u8], suffix: &[u8]) -> [u8; 20] {
        let mut digest = [0u8; 20];
        write(&finish(*self.inner, BLOCK, data, suffix), &mut digest);
        let mut tag = [0u8; 20];
        write(&finish(*self.outer, BLOCK, &digest, &[]), &mut tag);
        tag
    }
}

/// Hashes the rest of a message of which `before` octets are in the state.
#[inline(always)]
fn finish(mut state: State, before: usize, data: &[u8], suffix: &[u8]) -> State {
    debug_assert!(suffix.len() <= 8);
    let (blocks, rest) = data.as_chunks::<BLOCK>();
    if !blocks.is_empty() {
        compress(&mut state, blocks);
    }
    // What is left, the suffix, the end mark and the length in bits: at most two blocks.
    let mut last = [[0u8; BLOCK]; 2];
    let flat = last.as_flattened_mut();
    let end = rest.len() + suffix.len();
    flat[..rest.len()].copy_from_slice(rest);
    flat[rest.len()..end].copy_from_slice(suffix);
    flat[end] = 0x80;
    let count = if end + 9 <= BLOCK { 1 } else { 2 };
    let bits = ((before + data.len() + suffix.len()) as u64) * 8;
    flat[count * BLOCK - 8..count * BLOCK].copy_from_slice(&bits.to_be_bytes());
    compress(&mut state, &last[..count]);
    state
}

fn write(state: &State, out: &mut [u8]) {
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
}
