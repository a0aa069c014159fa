//! Milenage (3GPP TS 35.206 §4.1): the functions f1 to f5* of a USIM around AES-128, with the
//! constants c1–c5 and r1–r5 of the standard. Keys are overwritten on drop and never shown.

use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit};
use zeroize::Zeroizing;

/// What f2 to f5 give for one RAND.
pub(super) struct Outputs {
    pub(super) res: [u8; 8],
    pub(super) ck: Zeroizing<[u8; 16]>,
    pub(super) ik: Zeroizing<[u8; 16]>,
    pub(super) ak: [u8; 6],
}

/// The functions under one subscriber's key.
#[derive(Clone)]
pub(super) struct Milenage {
    cipher: Aes128,
    opc: Zeroizing<[u8; 16]>,
}

impl Milenage {
    pub(super) fn with_opc(k: &[u8; 16], opc: &[u8; 16]) -> Self {
        Self { cipher: Aes128::new(k.into()), opc: Zeroizing::new(*opc) }
    }

    /// OPc = E_K(OP) ⊕ OP.
    pub(super) fn with_op(k: &[u8; 16], op: &[u8; 16]) -> Self {
        let cipher = Aes128::new(k.into());
        let mut block = (*op).into();
        cipher.encrypt_block(&mut block);
        let opc = Zeroizing::new(xor(&block.into(), op));
        Self { cipher, opc }
    }

    #[cfg(test)]
    pub(super) fn opc(&self) -> [u8; 16] {
        *self.opc
    }

    /// (MAC-A, MAC-S) of f1 and f1*.
    pub(super) fn f1(&self, rand: &[u8; 16], sqn: &[u8; 6], amf: &[u8; 2]) -> ([u8; 8], [u8; 8]) {
        let mut input = [0; 16];
        for half in [0, 8] {
            input[half..half + 6].copy_from_slice(sqn);
            input[half + 6..half + 8].copy_from_slice(amf);
        }
        // OUT1 = E[TEMP ⊕ rot(IN1 ⊕ OPc, r1) ⊕ c1] ⊕ OPc, r1 = 64 bits, c1 = 0.
        let mixed = rotated(&xor(&input, &self.opc), 8);
        let out = xor(&self.encrypt(&xor(&self.temp(rand), &mixed)), &self.opc);
        let (mut a, mut s) = ([0; 8], [0; 8]);
        a.copy_from_slice(&out[..8]);
        s.copy_from_slice(&out[8..]);
        (a, s)
    }

    pub(super) fn f2345(&self, rand: &[u8; 16]) -> Outputs {
        let temp = self.temp(rand);
        let out2 = self.out(&temp, 0, 1);
        let (mut res, mut ak) = ([0; 8], [0; 6]);
        res.copy_from_slice(&out2[8..]);
        ak.copy_from_slice(&out2[..6]);
        let ck = Zeroizing::new(self.out(&temp, 4, 2));
        let ik = Zeroizing::new(self.out(&temp, 8, 4));
        Outputs { res, ck, ik, ak }
    }

    /// AK of the re-synchronisation.
    pub(super) fn f5_star(&self, rand: &[u8; 16]) -> [u8; 6] {
        let out5 = self.out(&self.temp(rand), 12, 8);
        let mut ak = [0; 6];
        ak.copy_from_slice(&out5[..6]);
        ak
    }

    fn temp(&self, rand: &[u8; 16]) -> [u8; 16] {
        self.encrypt(&xor(rand, &self.opc))
    }

    /// OUTi = E[rot(TEMP ⊕ OPc, ri) ⊕ ci] ⊕ OPc; `bytes` is ri / 8, `c` the last octet of ci.
    fn out(&self, temp: &[u8; 16], bytes: usize, c: u8) -> [u8; 16] {
        let mut block = rotated(&xor(temp, &self.opc), bytes);
        block[15] ^= c;
        xor(&self.encrypt(&block), &self.opc)
    }

    fn encrypt(&self, block: &[u8; 16]) -> [u8; 16] {
        let mut block = (*block).into();
        self.cipher.encrypt_block(&mut block);
        block.into()
    }
}

fn xor(a: &[u8; 16], b: &[u8; 16]) -> [u8; 16] {
    let mut out = *a;
    out.iter_mut().zip(b).for_each(|(x, y)| *x ^= y);
    out
}

/// Towards the most significant bit, by whole octets.
fn rotated(block: &[u8; 16], bytes: usize) -> [u8; 16] {
    let mut out = *block;
    out.rotate_left(bytes);
    out
}
