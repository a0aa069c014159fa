//! The names that hide addresses of ours in descriptions (draft-ietf-mmusic-mdns-ice-candidates §3.1.1), answered for
//! on our links (RFC 6762) as long as the stream lives that told them. All streams share one responder for each
//! address, which ends with the last of them. Where there is none, nobody finds us by the name; no address is shown.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tiny_net::mdns::{HiddenName, MdnsConfig, Responder};

/// The responders of an agent that are at work.
#[derive(Clone, Default)]
pub(super) struct Responders(Arc<Mutex<AtWork>>);

type AtWork = Vec<(IpAddr, Weak<Responder>)>;

impl Responders {
    /// Answers for a name until what is returned is dropped.
    pub(super) fn answer_for(
        &self,
        name: &HiddenName,
        ip: IpAddr,
        config: &MdnsConfig,
    ) -> io::Result<Answered> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, responder)| responder.strong_count() > 0);
        let known = all.iter().find(|(at, _)| *at == ip).and_then(|(_, known)| known.upgrade());
        let responder = match known {
            Some(responder) => responder,
            None => {
                let responder = Arc::new(Responder::start(&[ip], config)?);
                all.push((ip, Arc::downgrade(&responder)));
                responder
            }
        };
        responder.answer_for(name, ip).map_err(io::Error::other)?;
        Ok(Answered { name: name.clone(), responder })
    }
}

/// A name that is answered for.
pub(super) struct Answered {
    name: HiddenName,
    responder: Arc<Responder>,
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.responder.forget(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tiny_net::mdns::lookup;
    use tiny_sak::Rng;

    #[tokio::test]
    async fn streams_share_a_responder_and_the_last_one_ends_it() {
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let port = std::net::UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap().port();
        let config = MdnsConfig {
            group_v4: SocketAddr::new(ip, port),
            timeout: std::time::Duration::from_millis(300),
            ..MdnsConfig::default()
        };
        let (mut rng, responders) = (Rng::from_seed(1), Responders::default());
        let names = [HiddenName::random(&mut rng), HiddenName::random(&mut rng)];
        // A second socket could not be bound there.
        let [first, second] = names.each_ref().map(|name| responders.answer_for(name, ip, &config));
        let (first, second) = (first.unwrap(), second.unwrap());
        for name in &names {
            assert_eq!(lookup(name, &[ip], &config, &mut rng).await, Some(ip));
        }
        drop(first);
        assert_eq!(lookup(&names[0], &[ip], &config, &mut rng).await, None);
        assert_eq!(lookup(&names[1], &[ip], &config, &mut rng).await, Some(ip));
        drop(second);
        // Its port is free again, once its task has gone.
        tokio::task::yield_now().await;
        let taken = std::net::UdpSocket::bind((ip, port)).unwrap();
        assert!(responders.answer_for(&names[0], ip, &config).is_err());
        drop(taken);
    }
}
