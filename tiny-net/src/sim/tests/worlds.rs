use super::*;
use std::collections::VecDeque;

/// Sends a numbered datagram every 20 ms, echoes those of others, tells what came back.
struct Pinger {
    flow: Option<Flow>,
    next: Option<Instant>,
    sent: u32,
    limit: u32,
    out: VecDeque<Transmit>,
    told: VecDeque<u32>,
}

impl Pinger {
    fn idle() -> Self {
        let (out, told) = (VecDeque::new(), VecDeque::new());
        Self { flow: None, next: None, sent: 0, limit: 0, out, told }
    }

    fn start(&mut self, now: Instant, flow: Flow, limit: u32) {
        self.flow = Some(flow);
        self.limit = limit;
        self.next = Some(now);
        self.handle(now, Input::Timeout);
    }
}

impl Node for Pinger {
    type Event = u32;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Net(NetEvent::Datagram { flow, data } | NetEvent::Stream { flow, data }) => {
                if self.flow.is_some() {
                    self.told.push_back(u32::from_be_bytes(data[..4].try_into().unwrap()));
                } else {
                    self.out.push_back(Transmit::Send { flow, data });
                }
            }
            Input::Net(_) => {}
            Input::Timeout => {
                while let Some(flow) = self.flow.filter(|_| self.next.is_some_and(|t| t <= now)) {
                    let data = Bytes::copy_from_slice(&self.sent.to_be_bytes());
                    self.out.push_back(Transmit::Send { flow, data });
                    self.sent += 1;
                    self.next = (self.sent < self.limit).then(|| now + ms(20));
                }
            }
        }
    }

    fn poll(&mut self, _now: Instant) -> Output<Transmit, u32> {
        if let Some(transmit) = self.out.pop_front() {
            return Output::Transmit(transmit);
        }
        self.told.pop_front().map_or(Output::Timeout(self.next), Output::Event)
    }
}

#[test]
fn nodes_join_in_a_few_lines_and_time_is_virtual() {
    let mut world = World::new(Instant::now(), 1);
    world.network.set_default_path(Link::new().latency(ms(50)));
    let a = world.add(at(A).ip(), Pinger::idle());
    world.add(at(B).ip(), Pinger::idle());
    world.act(a, |node, now| node.start(now, udp(A, B), 3));
    let got = world.run_for(Duration::from_secs(3600));
    assert_eq!(got, [(ms(100), a, 0), (ms(120), a, 1), (ms(140), a, 2)]);
    assert!(world.is_quiet());
    assert_eq!(world.elapsed(), Duration::from_secs(3600));
}

#[test]
fn a_world_with_faults_is_repeatable() {
    let run = |seed| {
        let mut world = World::new(Instant::now(), seed);
        let link = Link::new().latency(ms(20)).jitter(ms(50)).loss(0.2).duplicate(0.1);
        world.network.set_default_path(link.reorder(0.1, ms(100)));
        let pingers: Vec<NodeId> =
            (1..=10u8).map(|i| world.add(IpAddr::from([192, 0, 2, i]), Pinger::idle())).collect();
        world.add(ip("192.0.2.99"), Pinger::idle());
        for (i, id) in (1..).zip(pingers) {
            let flow = udp(&format!("192.0.2.{i}:5060"), "192.0.2.99:5060");
            world.act(id, |node, now| node.start(now, flow, 200));
        }
        world.run_for(Duration::from_secs(60))
    };
    let first = run(5);
    // 2,000 pings, 80 % survive each way, 10 % are doubled each way.
    assert!((1400..=1700).contains(&first.len()), "{}", first.len());
    assert_eq!(first, run(5));
    assert_ne!(first, run(6));
}

#[test]
fn different_kinds_of_nodes_meet_behind_one_trait() {
    struct Silent;
    impl Node for Silent {
        type Event = u32;
        fn handle(&mut self, _now: Instant, _input: Input) {}
        fn poll(&mut self, _now: Instant) -> Output<Transmit, u32> {
            Output::Timeout(None)
        }
    }
    let mut world: World<Box<dyn Node<Event = u32>>> = World::new(Instant::now(), 1);
    let mut pinger = Pinger::idle();
    pinger.start(world.now(), tcp(A, B), 1);
    let a = world.add(at(A).ip(), Box::new(pinger));
    let b = world.add(at(B).ip(), Box::new(Pinger::idle()));
    world.add(ip("192.0.2.3"), Box::new(Silent));
    let host = world.host(b);
    world.network.listen(host, Transport::Tcp, 5060);
    assert_eq!(world.run_for(Duration::from_secs(1)), [(ms(0), a, 0)]);
}
