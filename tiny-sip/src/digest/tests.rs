use super::*;
use tiny_sak::Secret;

/// The flat objects of `digest.json`, as name and text; no JSON reader is worth having for them.
fn vectors() -> Vec<Vec<(String, String)>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/digest/digest.json");
    let text = std::fs::read_to_string(path).unwrap();
    text.split('{')
        .skip(1)
        .map(|object| {
            object
                .lines()
                .filter_map(|line| {
                    let (name, value) = line.trim().trim_end_matches(',').split_once("\": ")?;
                    Some((name.trim_matches('"').to_owned(), value.trim_matches('"').to_owned()))
                })
                .collect()
        })
        .collect()
}

struct Vector(Vec<(String, String)>);

impl Vector {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn algorithm(&self) -> Algorithm {
        Algorithm::parse(self.get("algorithm").unwrap()).unwrap()
    }

    fn password(&self) -> Secret {
        Secret::from(self.get("password").unwrap())
    }

    fn ha1(&self) -> Ha1 {
        let (user, realm) = (self.get("username").unwrap(), self.get("realm").unwrap());
        Ha1::new(self.algorithm(), user, realm, &self.password())
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            method: self.get("method").unwrap(),
            uri: self.get("uri").unwrap(),
            nonce: self.get("nonce").unwrap(),
            cnonce: self.get("cnonce").unwrap_or_default(),
            nc: self.get("nc").map_or(0, |nc| parse_nonce_count(nc).unwrap()),
            qop: self.get("qop").map(|qop| Qop::parse(qop).unwrap()),
            body: self.get("body").unwrap_or_default().as_bytes(),
        }
    }

    // RFC 7616 §3.9.2 prints a wrong response; the note has the right one.
    fn expected(&self) -> &str {
        match self.get("note") {
            Some(note) => note.split("gives response ").nth(1).unwrap().split(',').next().unwrap(),
            None => self.get("response").unwrap(),
        }
    }
}

fn all() -> impl Iterator<Item = Vector> {
    vectors().into_iter().map(Vector).filter(|v| v.get("algorithm").is_some())
}

#[test]
fn every_published_response_is_computed() {
    let mut count = 0;
    for vector in all() {
        let ours = response(vector.algorithm(), &vector.ha1(), &vector.inputs());
        assert_eq!(ours, vector.expected(), "{:?}", vector.get("source"));
        count += 1;
    }
    assert!(count >= 11, "{count}");
}

#[test]
fn a_client_s_credentials_satisfy_the_server() {
    for vector in all() {
        let inputs = vector.inputs();
        let value = challenge(
            vector.algorithm(),
            vector.get("realm").unwrap(),
            inputs.nonce,
            inputs.qop.as_slice(),
            vector.get("opaque"),
            false,
        );
        let mut session = Session::new(&Challenge::parse(&value).unwrap()).unwrap();
        let password = vector.password();
        let mut answer = Answer {
            username: vector.get("username").unwrap(),
            password: &password,
            method: inputs.method,
            uri: inputs.uri,
            body: inputs.body,
            cnonce: inputs.cnonce,
        };
        for count in 1..=3u32 {
            let value = session.authorize(&answer);
            let credentials = Credentials::parse(&value).unwrap();
            if count == 1 {
                assert_eq!(credentials.response(), Some(vector.expected()), "{value}");
            }
            let check = |method: &str, body: &[u8], ha1: &Ha1| {
                verify(&credentials, vector.algorithm(), ha1, method, body)
            };
            let (method, body, ha1) = (inputs.method, inputs.body, vector.ha1());
            assert_eq!(check(method, body, &ha1), Verdict::Right, "{value}");
            assert_eq!(check("BYE", body, &ha1), Verdict::Wrong);
            assert_eq!(check(method, body, &Ha1::from_hex("00")), Verdict::Wrong);
            let other_body =
                if inputs.qop == Some(Qop::AuthInt) { Verdict::Wrong } else { Verdict::Right };
            assert_eq!(check(method, b"other", &ha1), other_body);
            if inputs.qop.is_some() {
                assert_eq!(credentials.nc().and_then(parse_nonce_count), Some(count));
            }
            assert_eq!(credentials.opaque(), vector.get("opaque"));
            // A session algorithm keeps its first client nonce, the others take the new one.
            answer.cnonce = "another";
        }
    }
}

#[test]
fn a_user_hash_and_quoted_names() {
    let text = r#"Digest realm="a \"b\"", nonce="n\\1", qop="auth-int , auth", algorithm=sha-256, userhash=true, opaque="o", stale=true"#;
    let mut session = Session::new(&Challenge::parse(text).unwrap()).unwrap();
    assert_eq!(
        (session.realm(), session.qop(), session.is_stale()),
        ("a \"b\"", Some(Qop::Auth), true)
    );
    let password = Secret::from("p");
    let answer = Answer {
        username: "u",
        password: &password,
        method: "REGISTER",
        uri: "sip:a",
        body: b"",
        cnonce: "c",
    };
    let value = session.authorize(&answer);
    let credentials = Credentials::parse(&value).unwrap();
    assert!(credentials.userhash());
    assert_eq!(credentials.username().unwrap().len(), 64);
    assert_eq!((credentials.realm(), credentials.nonce()), (Some(r#"a \"b\""#), Some(r"n\\1")));
    assert_eq!(credentials.nc(), Some("00000001"));
    assert!(value.contains("qop=auth,") && value.contains("algorithm=SHA-256"));
    session.set_next_nonce("n2");
    assert_eq!((session.count(), session.nonce()), (0, "n2"));
}

#[test]
fn challenges_that_cannot_be_answered_give_no_session() {
    for text in [
        "Basic realm=\"a\"",
        "Digest realm=\"a\"",
        "Digest nonce=\"a\"",
        "Digest realm=\"a\", nonce=\"b\", algorithm=AKAv9-MD5",
        "Digest realm=\"a\", nonce=\"b\", qop=\"token\"",
    ] {
        assert!(Session::new(&Challenge::parse(text).unwrap()).is_none(), "{text}");
    }
    // RFC 2069: no qop at all.
    let session =
        Session::new(&Challenge::parse("Digest realm=\"a\", nonce=\"b\"").unwrap()).unwrap();
    assert_eq!((session.qop(), session.algorithm()), (None, Algorithm::Md5));
}

#[test]
fn incomplete_or_downgraded_credentials_fail() {
    let ha1 = Ha1::new(Algorithm::Sha256, "u", "r", &Secret::from("p"));
    let check = |text: &str| {
        verify(&Credentials::parse(text).unwrap(), Algorithm::Sha256, &ha1, "BYE", b"")
    };
    let full = r#"Digest username="u", realm="r", nonce="n", uri="sip:a", response="x", algorithm=SHA-256, qop=auth, cnonce="c", nc=00000001"#;
    assert_eq!(check(full), Verdict::Wrong);
    for (part, with) in [
        (r#", nonce="n""#, ""),
        (r#", uri="sip:a""#, ""),
        (r#", response="x""#, ""),
        (r#", cnonce="c""#, ""),
        (", nc=00000001", ""),
        ("nc=00000001", "nc=1"),
        ("qop=auth", "qop=other"),
        ("SHA-256", "ROT13"),
    ] {
        assert_eq!(check(&full.replace(part, with)), Verdict::Malformed, "{part}");
    }
    assert_eq!(check(&full.replace("SHA-256", "MD5")), Verdict::Wrong);
    assert_eq!(
        (parse_nonce_count("0000000g"), parse_nonce_count("ffffffff")),
        (None, Some(u32::MAX))
    );
}
