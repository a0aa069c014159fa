use super::*;

fn h<const N: usize>(text: &str) -> [u8; N] {
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

/// K, RAND, SQN, AMF, OP, OPc, f1, f1*, f2, f3, f4, f5, f5* of 3GPP TS 35.208 §4.3 (sets 1 to 6 of
/// TS 35.207); the last set has no f2, f3 and f5 in the source they were taken from.
const SETS: [[&str; 13]; 6] = [
    [
        "465b5ce8b199b49faa5f0a2ee238a6bc",
        "23553cbe9637a89d218ae64dae47bf35",
        "ff9bb4d0b607",
        "b9b9",
        "cdc202d5123e20f62b6d676ac72cb318",
        "cd63cb71954a9f4e48a5994e37a02baf",
        "4a9ffac354dfafb3",
        "01cfaf9ec4e871e9",
        "a54211d5e3ba50bf",
        "b40ba9a3c58b2a05bbf0d987b21bf8cb",
        "f769bcd751044604127672711c6d3441",
        "aa689c648370",
        "451e8beca43b",
    ],
    [
        "0396eb317b6d1c36f19c1c84cd6ffd16",
        "c00d603103dcee52c4478119494202e8",
        "fd8eef40df7d",
        "af17",
        "ff53bade17df5d4e793073ce9d7579fa",
        "53c15671c60a4b731c55b4a441c0bde2",
        "5df5b31807e258b0",
        "a8c016e51ef4a343",
        "d3a628ed988620f0",
        "58c433ff7a7082acd424220f2b67c556",
        "21a8c1f929702adb3e738488b9f5c5da",
        "c47783995f72",
        "30f1197061c1",
    ],
    [
        "fec86ba6eb707ed08905757b1bb44b8f",
        "9f7c8d021accf4db213ccff0c7f71a6a",
        "9d0277595ffc",
        "725c",
        "dbc59adcb6f9a0ef735477b7fadf8374",
        "1006020f0a478bf6b699f15c062e42b3",
        "9cabc3e99baf7281",
        "95814ba2b3044324",
        "8011c48c0c214ed2",
        "5dbdbb2954e8f3cde665b046179a5098",
        "59a92d3b476a0443487055cf88b2307b",
        "33484dc2136b",
        "deacdd848cc6",
    ],
    [
        "9e5944aea94b81165c82fbf9f32db751",
        "ce83dbc54ac0274a157c17f80d017bd6",
        "0b604a81eca8",
        "9e09",
        "223014c5806694c007ca1eeef57f004f",
        "a64a507ae1a2a98bb88eb4210135dc87",
        "74a58220cba84c49",
        "ac2cc74a96871837",
        "f365cd683cd92e96",
        "e203edb3971574f5a94b0d61b816345d",
        "0c4524adeac041c4dd830d20854fc46b",
        "f0b9c08ad02e",
        "6085a86c6f63",
    ],
    [
        "4ab1deb05ca6ceb051fc98e77d026a84",
        "74b0cd6031a1c8339b2b6ce2b8c4a186",
        "e880a1b580b6",
        "9f07",
        "2d16c5cd1fdf6b22383584e3bef2a8d8",
        "dcf07cbd51855290b92a07a9891e523e",
        "49e785dd12626ef2",
        "9e85790336bb3fa2",
        "5860fc1bce351e7e",
        "7657766b373d1c2138f307e3de9242f9",
        "1c42e960d89b8fa99f2744e0708ccb53",
        "31e11a609118",
        "fe2555e54aa9",
    ],
    [
        "6c38a116ac280c454f59332ee35c8c4f",
        "ee6466bc96202c5a557abbeff8babf63",
        "414b98222181",
        "4464",
        "1ba00a1a7c6700ac8c3ff3e96ad08725",
        "3803ef5363b947c6aaa225e58fae3934",
        "078adfb488241a57",
        "80246b8d0186bcf1",
        "",
        "",
        "a7466cc1e6b2a1337d49d3b66e95d7b4",
        "",
        "1f53cd2b1113",
    ],
];

#[test]
fn milenage_gives_the_test_sets_of_ts_35_208() {
    for [k, rand, sqn, amf, op, opc, f1, f1s, f2, f3, f4, f5, f5s] in SETS {
        let functions = Milenage::with_op(&h(k), &h(op));
        assert_eq!(functions.opc(), h::<16>(opc));
        let functions = Milenage::with_opc(&h(k), &h(opc));
        let rand = h(rand);
        assert_eq!(functions.f1(&rand, &h(sqn), &h(amf)), (h(f1), h(f1s)));
        let out = functions.f2345(&rand);
        assert_eq!((*out.ik, functions.f5_star(&rand)), (h(f4), h(f5s)));
        if !f2.is_empty() {
            assert_eq!((out.res, *out.ck, out.ak), (h(f2), h(f3), h(f5)));
        }
    }
}

/// The network's side of set 1, at a sequence number of choice.
pub(crate) fn challenge(sqn: u64) -> AkaChallenge {
    let functions = Milenage::with_op(&h(SETS[0][0]), &h(SETS[0][4]));
    let rand = h(SETS[0][1]);
    let mut number = [0; 6];
    number.copy_from_slice(&sqn.to_be_bytes()[2..]);
    let (mac, _) = functions.f1(&rand, &number, &[0; 2]);
    let mut autn = [0; 16];
    autn[..6].copy_from_slice(&number);
    autn.iter_mut().zip(functions.f2345(&rand).ak).for_each(|(s, a)| *s ^= a);
    autn[8..].copy_from_slice(&mac);
    AkaChallenge { rand, autn }
}

fn usim() -> Usim {
    Usim::with_op(&Secret::from(SETS[0][0]), &Secret::from(SETS[0][4])).unwrap()
}

#[test]
fn a_number_is_taken_once_and_then_synchronised() {
    let mut usim = usim();
    let AkaOutcome::Done(result) = usim.answer(&challenge(0x100)) else { panic!("not taken") };
    assert_eq!(result.res(), h::<8>(SETS[0][8]));
    // The same again, and an older one of the same index, are stale; AUTS says where we are.
    for old in [0x100, 0x20] {
        let AkaOutcome::Resync { auts } = usim.answer(&challenge(old)) else { panic!("taken") };
        let functions = Milenage::with_op(&h(SETS[0][0]), &h(SETS[0][4]));
        let ak = functions.f5_star(&h(SETS[0][1]));
        let ms: Vec<u8> = auts[..6].iter().zip(ak).map(|(a, b)| a ^ b).collect();
        assert_eq!(ms, [0, 0, 0, 0, 1, 0]);
        let (_, mac_s) = functions.f1(&h(SETS[0][1]), &h("000000000100"), &[0; 2]);
        assert_eq!(auts[6..], mac_s);
    }
    // Another index has a window of its own; a later number is fresh.
    assert!(matches!(usim.answer(&challenge(0x21)), AkaOutcome::Done(_)));
    assert!(matches!(usim.answer(&challenge(0x120)), AkaOutcome::Done(_)));
    assert_eq!(usim.sqn(), 0x120);
    let mut again = self::usim().start_at(usim.sqn());
    assert!(matches!(again.answer(&challenge(0x120)), AkaOutcome::Resync { .. }));
    assert!(matches!(again.answer(&challenge(0x140)), AkaOutcome::Done(_)));
}

#[test]
fn a_network_without_the_key_gets_nothing() {
    let mut wrong = challenge(0x100);
    wrong.autn[15] ^= 1;
    assert!(matches!(usim().answer(&wrong), AkaOutcome::NotTheNetwork));
}

#[test]
fn passwords_of_both_versions() {
    let result = AkaResult::new(&h::<8>(SETS[0][8]), h(SETS[0][9]), h(SETS[0][10]));
    assert_eq!(*result.password(Algorithm::AkaV1Md5), h::<8>(SETS[0][8]));
    // 16 octets in base64.
    let second = result.password(Algorithm::AkaV2Md5);
    assert_eq!(
        decode(Alphabet::Standard, std::str::from_utf8(&second).unwrap()).unwrap().len(),
        16
    );
}

#[test]
fn hmac_gives_the_vectors_of_rfc2202() {
    assert_eq!(hmac_md5(&[0x0b; 16], b"Hi There"), h("9294727a3638bb1c13f48ef8158bfc9d"));
    let jefe = hmac_md5(b"Jefe", b"what do ya want for nothing?");
    assert_eq!(jefe, h("750c783e6ab0b503eaa86e310a5db738"));
    let long = hmac_md5(&[0xaa; 80], b"Test Using Larger Than Block-Size Key - Hash Key First");
    assert_eq!(long, h("6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"));
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?} {:?}", usim(), AkaResult::new(&[1], [2; 16], [3; 16]));
    assert_eq!(shown, "Usim(***) AkaResult(***)");
}
