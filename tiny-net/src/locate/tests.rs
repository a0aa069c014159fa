use super::order::{Server, by_weight};
use super::*;
use RecordKind::{A, Aaaa, Naptr, Srv};
use Transport::{Tcp, Tls, Udp, Ws, Wss};

/// A name server of our own: answers at once, or after a delay, or never.
#[derive(Default)]
struct Zone {
    records: HashMap<Question, (Vec<Record>, u64)>,
    delays: HashMap<Question, Duration>,
    silent: Vec<Question>,
    broken: Vec<Question>,
    asked: Vec<Question>,
}

fn question(name: &str, kind: RecordKind) -> Question {
    Question { name: name.into(), kind }
}

impl Zone {
    fn add(mut self, name: &str, kind: RecordKind, record: Record) -> Self {
        self.records.entry(question(name, kind)).or_insert((Vec::new(), 300)).0.push(record);
        self
    }

    fn naptr(self, name: &str, rank: (u16, u16), service: &str, replacement: &str) -> Self {
        let record = Record::Naptr {
            order: rank.0,
            preference: rank.1,
            flags: "s".into(),
            service: service.into(),
            regexp: String::new(),
            replacement: replacement.into(),
        };
        self.add(name, Naptr, record)
    }

    fn srv(self, name: &str, (priority, weight): (u16, u16), port: u16, target: &str) -> Self {
        self.add(name, Srv, Record::Srv { priority, weight, port, target: target.into() })
    }

    fn host(self, name: &str, ip: &str) -> Self {
        let ip: IpAddr = ip.parse().unwrap();
        self.add(name, if ip.is_ipv4() { A } else { Aaaa }, Record::Address(ip))
    }

    fn outcome(&self, question: &Question) -> Outcome {
        if self.broken.contains(question) {
            return Outcome::Failed;
        }
        match self.records.get(question) {
            Some((records, ttl)) => {
                Outcome::Found { records: records.clone(), ttl: Duration::from_secs(*ttl) }
            }
            None => Outcome::Absent { ttl: Some(Duration::from_secs(60)) },
        }
    }
}

struct Lab {
    zone: Zone,
    locator: Locator,
    start: Instant,
    now: Instant,
}

impl Lab {
    fn new(zone: Zone) -> Self {
        Self::with(zone, Config::default(), 1)
    }

    fn with(zone: Zone, config: Config, seed: u64) -> Self {
        let start = Instant::now();
        let locator = Locator::new(&config, Rng::from_seed(seed));
        Self { zone, locator, start, now: start }
    }

    /// Runs one search to its end, in virtual time.
    fn find(&mut self, query: Query) -> Result<Vec<Hop>, ResolveError> {
        let id = self.locator.locate(self.now, query);
        let mut answers: Vec<(Instant, Answer)> = Vec::new();
        for _ in 0..1000 {
            match self.locator.poll(self.now) {
                Output::Transmit(question) => {
                    self.zone.asked.push(question.clone());
                    if !self.zone.silent.contains(&question) {
                        let delay = self.zone.delays.get(&question).copied().unwrap_or_default();
                        let outcome = self.zone.outcome(&question);
                        answers.push((self.now + delay, Answer { question, outcome }));
                    }
                }
                Output::Event(located) => {
                    assert_eq!(located.id, id);
                    return located.result;
                }
                Output::Timeout(deadline) => {
                    let next = answers.iter().enumerate().min_by_key(|(_, (at, _))| *at);
                    match (next.map(|(i, (at, _))| (i, *at)), deadline) {
                        (Some((i, at)), deadline) if deadline.is_none_or(|d| at <= d) => {
                            self.now = at;
                            self.locator.handle(at, Some(answers.remove(i).1));
                        }
                        (_, Some(deadline)) => {
                            self.now = deadline;
                            self.locator.handle(deadline, None);
                        }
                        _ => panic!("a search that waits for nothing"),
                    }
                }
            }
        }
        panic!("a search without end")
    }

    fn ways(&mut self, query: Query) -> Vec<String> {
        let hops = self.find(query).unwrap();
        hops.iter().map(|h| format!("{} {}", h.transport, h.addr)).collect()
    }
}

fn all(host: &str) -> Query {
    Query { supported: vec![Udp, Tcp, Tls, Ws, Wss], ..Query::new(host) }
}

/// The records of RFC 3263 §4.1's example.
fn example() -> Zone {
    Zone::default()
        .naptr("example.com", (100, 50), "SIP+D2U", "_sip._udp.example.com.")
        .naptr("example.com", (50, 50), "SIPS+D2T", "_sips._tcp.example.com.")
        .naptr("example.com", (90, 50), "SIP+D2T", "_sip._tcp.example.com")
        .srv("_sip._tcp.example.com", (0, 1), 5060, "server1.example.com.")
        .srv("_sip._tcp.example.com", (0, 2), 5060, "server2.example.com.")
        .srv("_sips._tcp.example.com", (0, 1), 5061, "server3.example.com.")
        .srv("_sip._udp.example.com", (0, 1), 5060, "server1.example.com.")
        .host("server1.example.com", "192.0.2.1")
        .host("server2.example.com", "192.0.2.2")
        .host("server3.example.com", "192.0.2.3")
}

#[test]
fn rfc_3263_example_a_client_of_udp_and_tcp_uses_tcp() {
    let mut lab = Lab::new(example());
    let ways = lab.ways(Query { supported: vec![Udp, Tcp], ..Query::new("example.com") });
    assert_eq!(ways.len(), 3, "{ways:?}");
    assert!(ways[0].starts_with("TCP") && ways[1].starts_with("TCP"), "{ways:?}");
    assert_eq!(ways[2], "UDP 192.0.2.1:5060", "then what the domain prefers next");
    let asked: Vec<_> = lab.zone.asked.iter().map(|q| (q.kind, q.name.as_str())).collect();
    assert_eq!(asked[0], (Naptr, "example.com"));
    assert!(!asked.contains(&(Srv, "_sips._tcp.example.com")), "{asked:?}");
}

#[test]
fn a_domains_preference_for_tls_is_followed_for_a_sip_uri() {
    let mut lab = Lab::new(example());
    assert_eq!(lab.ways(all("example.com"))[0], "TLS 192.0.2.3:5061");
}

#[test]
fn a_sips_uri_takes_secure_services_only() {
    let mut lab = Lab::new(example());
    let ways = lab.ways(Query { secure: true, ..all("example.com") });
    assert_eq!(ways, ["TLS 192.0.2.3:5061"]);
    // Without NAPTR: the _sips service; without that: TLS at its port (§4.1).
    let zone = Zone::default()
        .srv("_sip._tcp.a.example", (0, 0), 5060, "h.a.example")
        .host("h.a.example", "192.0.2.9")
        .host("a.example", "192.0.2.10");
    let mut lab = Lab::new(zone);
    let ways = lab.ways(Query { secure: true, ..all("a.example") });
    assert_eq!(ways, ["TLS 192.0.2.10:5061"]);
    assert!(!lab.zone.asked.contains(&question("_sip._tcp.a.example", Srv)));
    let tcp = Query { secure: true, transport: Some(Tcp), ..all("a.example") };
    assert_eq!(lab.ways(tcp), ["TLS 192.0.2.10:5061"], "RFC 3261 §26.2.2");
    let udp = Query { secure: true, transport: Some(Udp), ..all("a.example") };
    let error = lab.find(udp).unwrap_err();
    assert_eq!(error.to_string(), "no transport for a.example: UDP is not allowed for a sips URI");
}

#[test]
fn numeric_targets_need_no_question() {
    let mut lab = Lab::new(Zone::default());
    assert_eq!(lab.ways(all("192.0.2.1")), ["UDP 192.0.2.1:5060"]);
    assert_eq!(
        lab.ways(Query { secure: true, ..all("[2001:db8::1]") }),
        ["TLS [2001:db8::1]:5061"]
    );
    let explicit = Query { port: Some(7), transport: Some(Tcp), ..all("192.0.2.1") };
    assert_eq!(lab.ways(explicit), ["TCP 192.0.2.1:7"]);
    let ws = Query { transport: Some(Ws), secure: true, ..all("192.0.2.1") };
    assert_eq!(lab.ways(ws), ["WSS 192.0.2.1:443"]);
    // maddr goes before the host (§4).
    let maddr = Query { maddr: Some("192.0.2.99".into()), ..all("example.com") };
    assert_eq!(lab.ways(maddr), ["UDP 192.0.2.99:5060"]);
    // Where UDP is not ours, the first that is.
    let no_udp = Query { supported: vec![Tcp, Tls], ..Query::new("192.0.2.1") };
    assert_eq!(lab.ways(no_udp), ["TCP 192.0.2.1:5060"]);
    assert!(lab.zone.asked.is_empty());
}

#[test]
fn an_explicit_port_means_addresses_only() {
    let mut lab = Lab::new(example().host("example.com", "192.0.2.80"));
    // Even where it is the default port (§4.2).
    let ways = lab.ways(Query { port: Some(5060), ..all("example.com") });
    assert_eq!(ways, ["UDP 192.0.2.80:5060"]);
    let ways = lab.ways(Query { port: Some(5071), secure: true, ..all("example.com") });
    assert_eq!(ways, ["TLS 192.0.2.80:5071"]);
    assert!(lab.zone.asked.iter().all(|q| matches!(q.kind, A | Aaaa)), "{:?}", lab.zone.asked);
}

#[test]
fn an_explicit_transport_skips_naptr_but_not_srv() {
    let mut lab = Lab::new(example());
    let tcp = Query { transport: Some(Tcp), ..all("example.com") };
    let ways = lab.ways(tcp);
    assert_eq!(ways.len(), 2);
    assert!(ways.iter().all(|w| w.starts_with("TCP 192.0.2.")), "{ways:?}");
    assert_eq!(lab.zone.asked[0], question("_sip._tcp.example.com", Srv));
    // §4.2: TLS asks for _sips even from a sip URI.
    let tls = Query { transport: Some(Tls), ..all("example.com") };
    assert_eq!(lab.ways(tls), ["TLS 192.0.2.3:5061"]);
    let sctp = Query { transport: Some(Wss), supported: vec![Udp], ..Query::new("example.com") };
    assert!(matches!(lab.find(sctp), Err(ResolveError::NoTransport { transport: Some(Wss), .. })));
}

#[test]
fn without_naptr_every_supported_transport_is_asked_for() {
    let zone = Zone::default()
        .srv("_sip._tcp.a.example", (0, 0), 5080, "h.a.example")
        .host("h.a.example", "192.0.2.9")
        .host("a.example", "192.0.2.10");
    let mut lab = Lab::new(zone);
    assert_eq!(lab.ways(all("a.example")), ["TCP 192.0.2.9:5080"]);
    for name in ["_sip._udp.a.example", "_sip._tcp.a.example", "_sips._tcp.a.example"] {
        assert!(lab.zone.asked.contains(&question(name, Srv)), "{:?}", lab.zone.asked);
    }
}

#[test]
fn without_any_record_but_an_address_it_is_udp_at_5060() {
    let mut lab = Lab::new(Zone::default().host("a.example", "192.0.2.10"));
    assert_eq!(lab.ways(all("A.Example.")), ["UDP 192.0.2.10:5060"]);
}

#[test]
fn naptr_records_that_do_not_fit_are_passed_over() {
    let zone = Zone::default()
        .naptr("a.example", (1, 1), "SIP+D2S", "_sip._sctp.a.example")
        .naptr("a.example", (2, 1), "E2U+sip", "x.a.example")
        .add(
            "a.example",
            Naptr,
            Record::Naptr {
                order: 3,
                preference: 1,
                flags: "u".into(),
                service: "SIP+D2T".into(),
                regexp: "!.*!sip:x!".into(),
                replacement: ".".into(),
            },
        )
        .naptr("a.example", (9, 2), "sip+d2u", "_sip._udp.elsewhere.example")
        .naptr("a.example", (9, 1), "SIPS+D2W", "_ws.elsewhere.example")
        .srv("_sip._udp.elsewhere.example", (0, 0), 5066, "h.elsewhere.example")
        .srv("_ws.elsewhere.example", (0, 0), 8443, "h.elsewhere.example")
        .host("h.elsewhere.example", "192.0.2.7");
    let mut lab = Lab::new(zone);
    assert_eq!(lab.ways(all("a.example")), ["WSS 192.0.2.7:8443", "UDP 192.0.2.7:5066"]);
}

#[test]
fn naptr_without_srv_keeps_its_transport_for_the_domains_own_address() {
    let zone = Zone::default()
        .naptr("a.example", (1, 1), "SIP+D2T", "_sip._tcp.a.example")
        .host("a.example", "192.0.2.10");
    assert_eq!(Lab::new(zone).ways(all("a.example")), ["TCP 192.0.2.10:5060"]);
}

#[test]
fn a_service_that_is_decidedly_not_there_is_not_tried() {
    let refuse = |service: &str, zone: Zone| zone.srv(service, (0, 0), 0, ".");
    let zone = refuse("_sip._udp.a.example", Zone::default().host("a.example", "192.0.2.10"));
    let mut lab = Lab::new(zone);
    assert_eq!(lab.ways(all("a.example")), ["TCP 192.0.2.10:5060"]);
    let udp = Query { transport: Some(Udp), ..all("a.example") };
    let error = lab.find(udp).unwrap_err();
    assert_eq!(error.to_string(), "a.example does not offer SIP by any transport of this client");
}

#[test]
fn srv_priorities_come_first_and_weights_share_the_calls() {
    // The shape of RFC 2782's example: 1 to 3 on priority 0, a spare on priority 1.
    let server =
        |priority, weight, host: &str| Server { priority, weight, port: 9, host: host.into() };
    let servers = vec![
        server(1, 0, "spare"),
        server(0, 3, "new-fast-box"),
        server(0, 0, "never-mind"),
        server(0, 1, "old-slow-box"),
    ];
    let mut rng = Rng::from_seed(9);
    let (mut fast, mut slow, mut zero) = (0, 0, 0);
    for _ in 0..10_000 {
        let order = by_weight(servers.clone(), &mut rng);
        assert_eq!((order.len(), order[3].host.as_str()), (4, "spare"));
        match order[0].host.as_str() {
            "new-fast-box" => fast += 1,
            "old-slow-box" => slow += 1,
            _ => zero += 1,
        }
    }
    // 0..=4 drawn evenly: one in five draws is zero, which the weightless record takes.
    assert!((5700..6300).contains(&fast), "{fast}");
    assert!((1800..2200).contains(&slow), "{slow}");
    assert!((1800..2200).contains(&zero), "{zero}");
}

#[test]
fn the_same_seed_draws_the_same_order_whatever_the_server_rotates() {
    let one = example();
    let mut other = example();
    other.records.values_mut().for_each(|(records, _)| records.reverse());
    let tcp = || Query { transport: Some(Tcp), ..all("example.com") };
    for seed in 0..20 {
        let one = Zone { records: one.records.clone(), ..Zone::default() };
        let other = Zone { records: other.records.clone(), ..Zone::default() };
        let config = Config::default;
        assert_eq!(
            Lab::with(one, config(), seed).ways(tcp()),
            Lab::with(other, config(), seed).ways(tcp())
        );
    }
}

#[test]
fn both_families_alternate() {
    let zone = Zone::default()
        .host("a.example", "192.0.2.1")
        .host("a.example", "192.0.2.2")
        .host("a.example", "2001:db8::1");
    let query = || Query { port: Some(5060), ..all("a.example") };
    let records = zone.records.clone();
    let v6_first = ["UDP [2001:db8::1]:5060", "UDP 192.0.2.1:5060", "UDP 192.0.2.2:5060"];
    assert_eq!(Lab::new(zone).ways(query()), v6_first);
    let config = Config { prefer_ipv6: false, ..Config::default() };
    let mut lab = Lab::with(Zone { records, ..Zone::default() }, config, 1);
    let v4_first = ["UDP 192.0.2.1:5060", "UDP [2001:db8::1]:5060", "UDP 192.0.2.2:5060"];
    assert_eq!(lab.ways(query()), v4_first);
}

#[test]
fn a_server_that_swallows_aaaa_questions_costs_fifty_milliseconds() {
    let mut zone = Zone::default().host("a.example", "192.0.2.1");
    zone.silent.push(question("a.example", Aaaa));
    zone.delays.insert(question("a.example", A), Duration::from_millis(20));
    let mut lab = Lab::new(zone);
    assert_eq!(lab.ways(Query { port: Some(1), ..all("a.example") }), ["UDP 192.0.2.1:1"]);
    assert_eq!(lab.now - lab.start, Duration::from_millis(70));
}

#[test]
fn a_slow_second_server_is_left_out_after_a_second() {
    let mut zone = Zone::default()
        .srv("_sip._udp.a.example", (0, 0), 5060, "one.a.example")
        .srv("_sip._udp.a.example", (1, 0), 5060, "two.a.example")
        .host("one.a.example", "192.0.2.1")
        .host("two.a.example", "192.0.2.2");
    zone.delays.insert(question("two.a.example", A), Duration::from_secs(3));
    zone.silent.push(question("two.a.example", Aaaa));
    let mut lab = Lab::new(zone);
    let udp = || Query { transport: Some(Udp), ..all("a.example") };
    assert_eq!(lab.ways(udp()), ["UDP 192.0.2.1:5060"]);
    assert_eq!(lab.now - lab.start, Duration::from_secs(1));
}

#[test]
fn silent_and_broken_servers_are_told_apart_from_absent_names() {
    let mut lab = Lab::new(Zone::default());
    let error = lab.find(all("a.example")).unwrap_err();
    assert!(matches!(error, ResolveError::NotFound { .. }), "{error}");
    let mut zone = Zone::default();
    zone.broken.push(question("a.example", A));
    let error = Lab::new(zone).find(all("a.example")).unwrap_err();
    assert_eq!(error.to_string(), "the name servers cannot answer for host a.example");
    let mut zone = Zone::default();
    for (name, kind) in [("a.example", Naptr), ("a.example", A), ("a.example", Aaaa)] {
        zone.silent.push(question(name, kind));
    }
    let mut lab = Lab::new(zone);
    let error = lab.find(all("a.example")).unwrap_err();
    assert!(matches!(error, ResolveError::Timeout { .. }), "{error}");
    assert_eq!(lab.now - lab.start, Duration::from_secs(10), "NAPTR, then both addresses at once");
    // A NAPTR question that is swallowed does not stop the search.
    let mut zone = Zone::default().host("a.example", "192.0.2.1");
    zone.silent.push(question("a.example", Naptr));
    assert_eq!(Lab::new(zone).ways(all("a.example")), ["UDP 192.0.2.1:5060"]);
}

#[test]
fn answers_are_kept_for_their_time_and_no_longer() {
    let mut lab = Lab::new(example());
    let first = lab.ways(all("example.com"));
    let asked = lab.zone.asked.len();
    lab.now += Duration::from_secs(59);
    assert_eq!(lab.ways(all("example.com")).len(), first.len());
    assert_eq!(lab.zone.asked.len(), asked, "all from memory, absent AAAA records too");
    lab.now += Duration::from_secs(2);
    lab.ways(all("example.com"));
    let again: Vec<_> = lab.zone.asked[asked..].iter().map(|q| q.kind).collect();
    assert!(again.iter().all(|kind| *kind == Aaaa) && !again.is_empty(), "{again:?}");
    lab.now += Duration::from_secs(300);
    let asked = lab.zone.asked.len();
    lab.ways(all("example.com"));
    assert_eq!(lab.zone.asked[asked], question("example.com", Naptr));
    lab.locator.forget();
    let asked = lab.zone.asked.len();
    lab.ways(all("example.com"));
    assert_eq!(lab.zone.asked[asked], question("example.com", Naptr));
}

#[test]
fn a_ttl_of_zero_serves_one_search_and_a_huge_one_is_cut() {
    let mut zone = Zone::default().host("a.example", "192.0.2.1").host("b.example", "192.0.2.2");
    zone.records.get_mut(&question("a.example", A)).unwrap().1 = 0;
    zone.records.get_mut(&question("b.example", A)).unwrap().1 = u64::from(u32::MAX);
    let mut lab = Lab::new(zone);
    let at = |host| Query { port: Some(1), ..all(host) };
    let count = |lab: &Lab, host: &str| {
        lab.zone.asked.iter().filter(|q| q.kind == A && q.name == host).count()
    };
    for _ in 0..2 {
        lab.ways(at("a.example"));
        lab.ways(at("b.example"));
    }
    assert_eq!((count(&lab, "a.example"), count(&lab, "b.example")), (2, 1));
    lab.now += Duration::from_secs(86_400);
    lab.ways(at("b.example"));
    assert_eq!(count(&lab, "b.example"), 2);
}

#[test]
fn the_cache_and_the_searches_are_bounded() {
    let config = Config { dns_cache_entries: 10, dns_max_searches: 2, ..Config::default() };
    let mut lab = Lab::with(Zone::default(), config, 1);
    for i in 0..100 {
        let _ = lab.find(all(&format!("h{i}.example")));
    }
    assert!(lab.locator.cache.len() <= 10);
    let now = lab.now;
    for _ in 0..3 {
        lab.locator.locate(now, all("x.example"));
    }
    let mut questions = 0;
    loop {
        match lab.locator.poll(now) {
            Output::Transmit(_) => questions += 1,
            Output::Event(located) => {
                assert!(matches!(located.result, Err(ResolveError::TooMany { .. })));
            }
            Output::Timeout(deadline) => {
                assert_eq!(deadline, Some(now + Duration::from_secs(5)));
                break;
            }
        }
    }
    assert_eq!(questions, 1, "two searches, one question");
    // A domain with a thousand servers gives a list of bounded length.
    let mut zone = Zone::default().host("h.example", "192.0.2.1");
    for port in 1..1000 {
        zone = zone.srv("_sip._udp.big.example", (0, 1), port, "h.example");
    }
    let mut lab = Lab::new(zone);
    assert_eq!(lab.ways(Query { transport: Some(Udp), ..all("big.example") }).len(), 16);
}

#[test]
fn what_is_no_name_is_refused_without_a_question() {
    let mut lab = Lab::new(Zone::default());
    for host in ["", ".", "a..b", &"x".repeat(64), &"long.".repeat(60)] {
        assert!(matches!(lab.find(all(host)), Err(ResolveError::NotFound { .. })), "{host:?}");
    }
    assert!(lab.zone.asked.is_empty());
}

#[test]
fn unasked_answers_are_not_believed() {
    let mut lab = Lab::new(Zone::default().host("a.example", "192.0.2.1"));
    let records = vec![Record::Address("203.0.113.66".parse().unwrap())];
    let forged = Answer {
        question: question("a.example", A),
        outcome: Outcome::Found { records, ttl: Duration::from_secs(9999) },
    };
    lab.locator.handle(lab.now, Some(forged));
    assert_eq!(lab.ways(all("a.example")), ["UDP 192.0.2.1:5060"]);
}

mod any {
    use super::*;
    use proptest::prelude::*;
    use tiny_sak::Rng;

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("a.example".to_owned()),
            Just("b.example".to_owned()),
            Just("_sip._udp.a.example".to_owned()),
            Just(".".to_owned()),
            ".{0,70}",
        ]
    }

    fn record() -> impl Strategy<Value = Record> {
        let service =
            prop_oneof![Just("SIP+D2U".to_owned()), Just("SIPS+D2T".to_owned()), ".{0,9}"];
        let naptr = (any::<(u16, u16)>(), "s|S|u|", service, "|!x!", name());
        let srv = (any::<(u16, u16, u16)>(), name());
        prop_oneof![
            naptr.prop_map(|((order, preference), flags, service, regexp, replacement)| {
                Record::Naptr { order, preference, flags, service, regexp, replacement }
            }),
            srv.prop_map(|((priority, weight, port), target)| Record::Srv {
                priority,
                weight,
                port,
                target
            }),
            any::<IpAddr>().prop_map(Record::Address),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the name servers say, every search ends, in time and within bounds.
        #[test]
        fn answer_ends_every_search(
            host in name(),
            secure in any::<bool>(),
            answers in prop::collection::vec(
                (prop::collection::vec(record(), 0..20), 0..7000u64, any::<u32>(), 0..4u8), 0..60),
        ) {
            let config = Config::default();
            let start = Instant::now();
            let mut now = start;
            let mut locator = Locator::new(&config, Rng::from_seed(5));
            locator.locate(now, Query { secure, ..all(&host) });
            let mut answers = answers.into_iter();
            let mut ended = false;
            for _ in 0..500 {
                match locator.poll(now) {
                    Output::Transmit(question) => {
                        let Some((records, delay, ttl, kind)) = answers.next() else { continue };
                        now += Duration::from_millis(delay);
                        let ttl = Duration::from_secs(ttl.into());
                        let outcome = match kind {
                            0 => Outcome::Failed,
                            1 => Outcome::Absent { ttl: Some(ttl) },
                            _ => Outcome::Found { records, ttl },
                        };
                        locator.handle(now, Some(Answer { question, outcome }));
                    }
                    Output::Event(located) => {
                        ended = true;
                        if let Ok(hops) = located.result {
                            prop_assert!(!hops.is_empty() && hops.len() <= config.max_resolved);
                            prop_assert!(!secure || hops.iter().all(|h| h.transport.is_secure()));
                        }
                    }
                    Output::Timeout(Some(deadline)) => {
                        now = now.max(deadline);
                        locator.handle(now, None);
                    }
                    Output::Timeout(None) => break,
                }
            }
            prop_assert!(ended);
        }
    }
}
