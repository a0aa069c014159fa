//! The figures and timer tables of RFC 3261 §17 (and RFC 6026) row by row, in virtual time.

use super::*;

const MS: u64 = 1;
const S: u64 = 1000;

/// A machine with its two timer slots on a virtual clock that counts milliseconds.
struct Bench<M, E> {
    machine: M,
    step: fn(&mut M, E, &Timers) -> Actions,
    timer: fn(Timer) -> E,
    now: u64,
    slots: [Option<(u64, Timer)>; 2],
    log: Vec<(u64, Action)>,
    over: bool,
}

impl<M, E> Bench<M, E> {
    fn new(
        (machine, actions): (M, Actions),
        step: fn(&mut M, E, &Timers) -> Actions,
        timer: fn(Timer) -> E,
    ) -> Self {
        let (slots, log) = ([None; 2], Vec::new());
        let mut bench = Self { machine, step, timer, now: 0, slots, log, over: false };
        bench.apply(actions);
        bench
    }

    fn apply(&mut self, actions: Actions) {
        for action in actions {
            assert!(!self.over, "{action:?} after the end");
            match action {
                Action::Set(timer, after) => {
                    let at = self.now + after.as_millis() as u64;
                    self.slots[timer.slot() as usize] = Some((at, timer));
                }
                Action::Stop(slot) => self.slots[slot as usize] = None,
                Action::Terminate => {
                    self.over = true;
                    self.slots = [None; 2];
                    self.log.push((self.now, action));
                }
                _ => self.log.push((self.now, action)),
            }
        }
    }

    fn on(&mut self, event: E) -> &mut Self {
        let actions = (self.step)(&mut self.machine, event, &Timers::default());
        self.apply(actions);
        self
    }

    /// Lets timers fire up to and including a time.
    fn until(&mut self, end: u64) -> &mut Self {
        while let Some((at, timer)) =
            self.slots.iter().flatten().copied().filter(|t| t.0 <= end).min_by_key(|t| t.0)
        {
            self.now = at;
            self.slots[timer.slot() as usize] = None;
            let event = (self.timer)(timer);
            self.on(event);
        }
        self.now = end;
        self
    }

    fn times(&self, wanted: Action) -> Vec<u64> {
        self.log.iter().filter(|(_, a)| *a == wanted).map(|(at, _)| *at).collect()
    }

    fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.log).into_iter().map(|(_, a)| a).collect()
    }

    fn pending(&self) -> Vec<Timer> {
        self.slots.iter().flatten().map(|t| t.1).collect()
    }
}

fn invite_client(reliable: bool) -> Bench<InviteClient, ClientEvent> {
    let new = InviteClient::new(reliable, &Timers::default());
    Bench::new(new, InviteClient::handle, ClientEvent::Timer)
}

fn client(reliable: bool) -> Bench<Client, ClientEvent> {
    Bench::new(Client::new(reliable, &Timers::default()), Client::handle, ClientEvent::Timer)
}

fn invite_server(reliable: bool) -> Bench<InviteServer, ServerEvent> {
    let new = InviteServer::new(reliable, &Timers::default());
    Bench::new(new, InviteServer::handle, ServerEvent::Timer)
}

fn server(reliable: bool) -> Bench<Server, ServerEvent> {
    Bench::new((Server::new(reliable), Actions::new()), Server::handle, ServerEvent::Timer)
}

#[test]
fn timer_a_doubles_without_bound_until_timer_b_ends_it_at_64_t1() {
    let mut t = invite_client(false);
    t.until(60 * S);
    let sent = [0, 500, 1500, 3500, 7500, 15_500, 31_500];
    assert_eq!(t.times(Action::Send), sent);
    assert_eq!(t.times(Action::Timeout), [32 * S]);
    assert_eq!(t.times(Action::Terminate), [32 * S]);
    assert_eq!(t.machine.state(), InviteClientState::Terminated);
}

#[test]
fn invite_over_a_reliable_transport_is_sent_once_and_times_out_by_timer_b() {
    let mut t = invite_client(true);
    t.until(60 * S);
    assert_eq!(t.times(Action::Send), [0]);
    assert_eq!(t.times(Action::Timeout), [32 * S]);
}

#[test]
fn a_provisional_response_stops_timers_a_and_b() {
    let mut t = invite_client(false);
    t.until(600 * MS).on(ClientEvent::Provisional);
    assert_eq!(t.machine.state(), InviteClientState::Proceeding);
    assert!(t.pending().is_empty());
    t.until(3600 * S).on(ClientEvent::Provisional);
    assert_eq!(t.times(Action::Send), [0, 500]);
    assert_eq!(t.times(Action::Deliver), [600, 3600 * S]);
    assert!(!t.over);
}

#[test]
fn a_2xx_opens_the_accepted_state_which_passes_more_2xx_until_timer_m() {
    for reliable in [false, true] {
        for ringing in [false, true] {
            let mut t = invite_client(reliable);
            if ringing {
                t.on(ClientEvent::Provisional);
            }
            t.take();
            t.on(ClientEvent::Success);
            assert_eq!(t.machine.state(), InviteClientState::Accepted);
            assert_eq!(t.pending(), [Timer::M]);
            t.on(ClientEvent::Success).on(ClientEvent::Provisional).on(ClientEvent::Failure);
            t.on(ClientEvent::TransportError);
            assert_eq!(t.take(), [Action::Deliver, Action::Deliver]);
            t.until(32 * S - 1);
            assert!(!t.over);
            t.until(32 * S);
            assert!(t.over);
        }
    }
}

#[test]
fn a_refusal_is_acknowledged_each_time_and_delivered_once_until_timer_d() {
    for ringing in [false, true] {
        let mut t = invite_client(false);
        if ringing {
            t.on(ClientEvent::Provisional);
        }
        t.take();
        t.on(ClientEvent::Failure);
        assert_eq!(t.take(), [Action::SendAck, Action::Deliver]);
        assert_eq!(t.machine.state(), InviteClientState::Completed);
        assert_eq!(t.pending(), [Timer::D]);
        t.on(ClientEvent::Failure).on(ClientEvent::Success).on(ClientEvent::Provisional);
        assert_eq!(t.take(), [Action::SendAck]);
        t.until(32 * S - 1);
        assert!(!t.over);
        t.until(32 * S);
        assert_eq!(t.take(), [Action::Terminate]);
    }
}

#[test]
fn timer_d_is_zero_on_reliable_transports() {
    let mut t = invite_client(true);
    t.take();
    t.on(ClientEvent::Failure);
    assert_eq!(t.take(), [Action::SendAck, Action::Deliver, Action::Terminate]);
}

#[test]
fn a_transport_error_ends_an_invite_client_and_is_reported_before_the_final_response() {
    for (before, reported) in [
        (&[][..], true),
        (&[ClientEvent::Provisional][..], true),
        (&[ClientEvent::Failure][..], false),
    ] {
        let mut t = invite_client(false);
        before.iter().for_each(|e| {
            t.on(*e);
        });
        t.take();
        t.on(ClientEvent::TransportError);
        let expected = [Action::Failed, Action::Terminate];
        assert_eq!(t.take(), expected[usize::from(!reported)..]);
        t.on(ClientEvent::Success);
        assert!(t.take().is_empty());
    }
}

#[test]
fn timer_e_doubles_up_to_t2_until_timer_f_ends_it_at_64_t1() {
    let mut t = client(false);
    t.until(60 * S);
    let sent = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(t.times(Action::Send), sent);
    assert_eq!(t.times(Action::Timeout), [32 * S]);
}

#[test]
fn timer_e_runs_at_t2_once_a_provisional_response_came() {
    let mut t = client(false);
    t.until(200 * MS).on(ClientEvent::Provisional);
    assert_eq!(t.machine.state(), ClientState::Proceeding);
    t.until(60 * S);
    let sent = [0, 500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500];
    assert_eq!(t.times(Action::Send), sent);
    assert_eq!(t.times(Action::Deliver), [200]);
    assert_eq!(t.times(Action::Timeout), [32 * S]);
}

#[test]
fn a_request_over_a_reliable_transport_is_sent_once_and_times_out_by_timer_f() {
    let mut t = client(true);
    t.until(60 * S);
    assert_eq!(t.times(Action::Send), [0]);
    assert_eq!(t.times(Action::Timeout), [32 * S]);
}

#[test]
fn a_final_response_is_delivered_once_and_repeats_are_absorbed_until_timer_k() {
    for last in [ClientEvent::Success, ClientEvent::Failure] {
        for ringing in [false, true] {
            let mut t = client(false);
            if ringing {
                t.on(ClientEvent::Provisional);
            }
            t.take();
            t.on(last).on(last).on(ClientEvent::Provisional).on(ClientEvent::TransportError);
            assert_eq!(t.take(), [Action::Deliver]);
            assert_eq!(t.machine.state(), ClientState::Completed);
            assert_eq!(t.pending(), [Timer::K]);
            t.until(5 * S - 1);
            assert!(!t.over);
            t.until(5 * S);
            assert_eq!(t.take(), [Action::Terminate]);
        }
        let mut t = client(true);
        t.take();
        t.on(last);
        assert_eq!(t.take(), [Action::Deliver, Action::Terminate], "K is zero");
    }
}

#[test]
fn a_transport_error_ends_a_client_transaction() {
    for before in [None, Some(ClientEvent::Provisional)] {
        let mut t = client(true);
        if let Some(event) = before {
            t.on(event);
        }
        t.take();
        t.on(ClientEvent::TransportError);
        assert_eq!(t.take(), [Action::Failed, Action::Terminate]);
    }
}

#[test]
fn a_100_trying_is_sent_after_200_ms_unless_the_user_was_quicker() {
    let mut t = invite_server(false);
    t.until(100 * MS).on(ServerEvent::Request).until(10 * S);
    assert_eq!(t.times(Action::SendTrying), [200]);
    assert_eq!(t.times(Action::Send), [] as [u64; 0], "nothing to repeat yet");
    t.on(ServerEvent::Request);
    assert_eq!(t.times(Action::Send), [10 * S], "the 100 is repeated");
    let mut t = invite_server(false);
    t.until(199 * MS).on(ServerEvent::Provisional).until(10 * S);
    assert_eq!(t.take(), [Action::Send]);
}

#[test]
fn provisional_responses_are_sent_and_the_last_is_repeated_for_a_repeated_invite() {
    let mut t = invite_server(true);
    t.on(ServerEvent::Provisional).on(ServerEvent::Provisional).on(ServerEvent::Request);
    assert_eq!(t.take(), [Action::Send; 3]);
    assert_eq!(t.machine.state(), InviteServerState::Proceeding);
    assert!(t.pending().is_empty());
}

#[test]
fn an_accepted_invite_absorbs_repeats_passes_acks_and_ends_by_timer_l() {
    for reliable in [false, true] {
        let mut t = invite_server(reliable);
        t.on(ServerEvent::Success);
        assert_eq!(t.take(), [Action::Send]);
        assert_eq!((t.machine.state(), t.pending()), (InviteServerState::Accepted, vec![Timer::L]));
        t.on(ServerEvent::Request).on(ServerEvent::Ack).on(ServerEvent::Success);
        assert_eq!(t.take(), [Action::Deliver, Action::Send]);
        t.until(32 * S - 1);
        assert!(!t.over);
        t.until(32 * S);
        assert_eq!(t.take(), [Action::Terminate]);
    }
}

#[test]
fn timer_g_repeats_a_refusal_up_to_t2_until_timer_h_gives_up() {
    let mut t = invite_server(false);
    t.on(ServerEvent::Failure).until(60 * S);
    let sent = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(t.times(Action::Send), sent);
    assert_eq!(t.times(Action::Timeout), [32 * S]);
    assert_eq!(t.times(Action::Terminate), [32 * S]);
    let mut t = invite_server(true);
    t.on(ServerEvent::Failure).until(60 * S);
    assert_eq!((t.times(Action::Send), t.times(Action::Timeout)), (vec![0], vec![32 * S]));
}

#[test]
fn an_ack_confirms_a_refusal_and_repeats_are_absorbed_until_timer_i() {
    let mut t = invite_server(false);
    t.on(ServerEvent::Failure).on(ServerEvent::Request);
    assert_eq!(t.take(), [Action::Send, Action::Send]);
    t.on(ServerEvent::Ack);
    assert_eq!((t.machine.state(), t.pending()), (InviteServerState::Confirmed, vec![Timer::I]));
    t.on(ServerEvent::Ack).on(ServerEvent::Request).on(ServerEvent::TransportError);
    assert!(t.take().is_empty());
    t.until(5 * S - 1);
    assert!(!t.over);
    t.until(5 * S);
    assert_eq!(t.take(), [Action::Terminate]);
    let mut t = invite_server(true);
    t.on(ServerEvent::Failure).on(ServerEvent::Ack);
    assert_eq!(t.take(), [Action::Send, Action::Terminate], "I is zero");
}

#[test]
fn a_response_that_cannot_be_sent_is_reported_and_the_state_stays() {
    for (before, state) in [
        (ServerEvent::Provisional, InviteServerState::Proceeding),
        (ServerEvent::Success, InviteServerState::Accepted),
        (ServerEvent::Failure, InviteServerState::Completed),
    ] {
        let mut t = invite_server(false);
        t.on(before).on(ServerEvent::TransportError);
        assert_eq!(t.take(), [Action::Send, Action::Failed]);
        assert_eq!(t.machine.state(), state);
    }
    for before in [ServerEvent::Provisional, ServerEvent::Success] {
        let mut t = server(false);
        t.on(before);
        let state = t.machine.state();
        t.on(ServerEvent::TransportError);
        assert_eq!((t.take(), t.machine.state()), (vec![Action::Send, Action::Failed], state));
    }
}

#[test]
fn a_repeated_request_gets_nothing_in_trying_and_the_last_response_afterwards() {
    let mut t = server(false);
    t.on(ServerEvent::Request);
    assert!(t.take().is_empty());
    t.on(ServerEvent::Provisional).on(ServerEvent::Provisional).on(ServerEvent::Request);
    assert_eq!(t.take(), [Action::Send; 3]);
    assert_eq!(t.machine.state(), ServerState::Proceeding);
    t.on(ServerEvent::Success).on(ServerEvent::Request).on(ServerEvent::Failure);
    assert_eq!(t.take(), [Action::Send; 2], "a second final response is not sent");
    assert_eq!((t.machine.state(), t.pending()), (ServerState::Completed, vec![Timer::J]));
}

#[test]
fn timer_j_is_64_t1_on_unreliable_transports_and_zero_on_reliable_ones() {
    for last in [ServerEvent::Success, ServerEvent::Failure] {
        let mut t = server(false);
        t.on(last).until(32 * S - 1);
        assert!(!t.over);
        t.until(32 * S);
        assert!(t.over);
        let mut t = server(true);
        t.on(last);
        assert_eq!(t.take(), [Action::Send, Action::Terminate]);
    }
}

#[test]
fn no_event_in_any_order_wakes_a_terminated_machine() {
    let mut rng = tiny_sak::Rng::from_seed(5);
    let timers = [
        Timer::A,
        Timer::B,
        Timer::D,
        Timer::E,
        Timer::F,
        Timer::G,
        Timer::H,
        Timer::I,
        Timer::J,
        Timer::K,
        Timer::L,
        Timer::M,
        Timer::Trying,
    ];
    for round in 0..4000 {
        let reliable = round % 2 == 0;
        let (mut a, mut b) = (invite_client(reliable), client(reliable));
        let (mut c, mut d) = (invite_server(reliable), server(reliable));
        for _ in 0..20 {
            let timer = timers[rng.below(13) as usize];
            let event = match rng.below(5) {
                0 => ClientEvent::Provisional,
                1 => ClientEvent::Success,
                2 => ClientEvent::Failure,
                3 => ClientEvent::TransportError,
                _ => ClientEvent::Timer(timer),
            };
            a.on(event);
            b.on(event);
            let event = match rng.below(7) {
                0 => ServerEvent::Provisional,
                1 => ServerEvent::Success,
                2 => ServerEvent::Failure,
                3 => ServerEvent::TransportError,
                4 => ServerEvent::Request,
                5 => ServerEvent::Ack,
                _ => ServerEvent::Timer(timer),
            };
            c.on(event);
            d.on(event);
        }
    }
}
