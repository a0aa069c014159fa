//! The one STUN check of a passive DTLS side without ICE (RFC 5763 §6.7.1): it opens the way for the
//! peer's ClientHello through what stands in front of us; and the answer to the peer's. Neither proves
//! anything, and nobody waits for them.

use std::net::SocketAddr;
use tiny_net::stun::{Builder, Class, Message, attr, method};
use tiny_sak::Rng;

/// What a datagram of STUN is to a stream without ICE.
pub(super) enum Pinhole {
    /// A check, with the answer to it.
    Asked(Vec<u8>),
    /// The answer to ours.
    Answered,
    /// No business of ours.
    Stranger,
}

/// A check without credentials.
pub(super) fn check(rng: &mut Rng) -> Vec<u8> {
    let mut id = [0; 12];
    rng.fill(&mut id);
    Builder::new(Class::Request, method::BINDING, id).finish().to_vec()
}

/// Reads one that has come.
pub(super) fn read(data: &[u8], from: SocketAddr) -> Pinhole {
    let Ok(message) = Message::parse(data) else { return Pinhole::Stranger };
    match (message.method(), message.class()) {
        (method::BINDING, Class::Request) => {
            // Credentials belong to ICE, which is not spoken here.
            if message.attributes().any(|(kind, _)| kind < 0x8000) {
                return Pinhole::Stranger;
            }
            let answer = Builder::new(Class::Success, method::BINDING, message.id());
            let answer = answer.xor_address(attr::XOR_MAPPED_ADDRESS, from);
            Pinhole::Asked(answer.finish().to_vec())
        }
        (method::BINDING, Class::Success | Class::Error) => Pinhole::Answered,
        _ => Pinhole::Stranger,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_answered_with_the_address_it_came_from() {
        let from: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let check = check(&mut Rng::from_seed(1));
        let Pinhole::Asked(answer) = read(&check, from) else { panic!("an answer") };
        let read_back = Message::parse(&answer).unwrap();
        assert_eq!((read_back.mapped(), &answer[8..20]), (Some(from), &check[8..20]));
        assert!(matches!(read(&answer, from), Pinhole::Answered));
        assert!(matches!(read(&check[..10], from), Pinhole::Stranger));
        let ice = Builder::new(Class::Request, method::BINDING, [1; 12]);
        let ice = ice.text(attr::USERNAME, "a:b").finish();
        assert!(matches!(read(&ice, from), Pinhole::Stranger));
    }
}
