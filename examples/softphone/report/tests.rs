use super::*;

pub(crate) fn example() -> Report {
    let invite = "INVITE sip:bob@demo.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKx\r\n\
                  From: \"Alice\" <sip:alice@demo.test>;tag=1\r\nTo: <sip:bob@demo.test>\r\n\
                  Call-ID: abc\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    let rows = [
        (0.001, 2, 1, "REGISTER", RowKind::Request),
        (0.002, 1, 2, "401 Unauthorized (REGISTER)", RowKind::Response(4)),
        (0.003, 2, 1, "REGISTER", RowKind::Request),
        (0.004, 1, 2, "200 OK (REGISTER)", RowKind::Response(2)),
        (0.110, 0, 1, "INVITE sip:bob@demo.test (SDP)", RowKind::Request),
        (0.111, 1, 0, "100 Trying", RowKind::Response(1)),
        (0.112, 1, 2, "INVITE sip:bob@127.0.0.1:5071 (SDP)", RowKind::Request),
        (0.115, 2, 1, "180 Ringing", RowKind::Response(1)),
        (0.116, 1, 0, "180 Ringing", RowKind::Response(1)),
        (0.615, 2, 1, "200 OK (INVITE, SDP)", RowKind::Response(2)),
        (0.616, 1, 0, "200 OK (INVITE, SDP)", RowKind::Response(2)),
        (0.617, 0, 1, "ACK", RowKind::Request),
        (0.640, 0, 2, "RTP opus · 412 packets · 8.2 s", RowKind::Media),
        (11.2, 0, 1, "BYE", RowKind::Request),
        (11.3, 1, 0, "200 OK (BYE)", RowKind::Response(2)),
    ];
    let rows = rows.map(|(t, from, to, label, kind)| Row {
        t,
        from,
        to,
        label: label.into(),
        kind,
        text: invite.into(),
        path: "UDP 127.0.0.1:5070 → 127.0.0.1:5060".into(),
    });
    let phone = |name: &str, turn: f64| Phone {
        name: name.into(),
        facts: [
            ("Codec", "opus 48 kHz"),
            ("Duration", "10.6 s"),
            ("MOS", "4.38"),
            ("Loss", "0.5 %"),
            ("Jitter", "1.2 ms"),
            ("Round trip", "0.3 ms"),
            ("Ended by", "alice"),
            ("Keys heard", "4 2 #"),
        ]
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .to_vec(),
        samples: (0..40)
            .map(|i| {
                let t = f64::from(i) * 0.25 + 0.7;
                let wave = (t + turn).sin();
                let stats = Stats {
                    tx_packets: i as u64 * 12,
                    rx_packets: i as u64 * 12,
                    lost: i as u64 / 10,
                    jitter_ms: 2.0 + wave,
                    buffer_ms: 40.0 + 20.0 * wave,
                    mos: (i > 2).then_some(4.2 + 0.2 * wave),
                    input_level_db: -30.0 + 15.0 * wave,
                    output_level_db: -30.0 - 15.0 * wave,
                    ..Stats::default()
                };
                (t, stats)
            })
            .collect(),
        marks: if turn == 0.0 {
            vec![(6.0, "keys 42#".into()), (7.0, "hold".into())]
        } else {
            Vec::new()
        },
        holds: if turn == 0.0 { vec![(7.0, 8.2)] } else { Vec::new() },
    };
    Report {
        title: "Alice calls Bob".into(),
        subtitle: "21 November 2026, over loopback, through the built-in registrar".into(),
        verdict: Some((true, "What was heard is what was said".into())),
        participants: vec!["alice".into(), "registrar 127.0.0.1:5060".into(), "bob".into()],
        rows: rows.to_vec(),
        phones: vec![phone("alice", 0.0), phone("bob", 1.5)],
    }
}

#[test]
fn the_page_stands_alone_and_shows_every_message() {
    let page = html(&example());
    for needle in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(needle), "the page refers to {needle}");
    }
    assert_eq!(page.matches("<article").count(), 15);
    assert_eq!(page.matches("<svg class=\"plot\"").count(), 6);
    assert!(
        page.contains("INVITE sip:bob@demo.test (SDP)")
            && page.contains("prefers-color-scheme:dark")
    );
    // For the eye: SOFTPHONE_REPORT=page.html cargo test --example softphone
    if let Ok(path) = std::env::var("SOFTPHONE_REPORT") {
        std::fs::write(path, &page).unwrap();
    }
}

#[test]
fn what_a_peer_sends_stays_text() {
    let mut report = example();
    report.rows[0].text = "<script>alert(1)</script>\u{1b}[2J".into();
    report.rows[0].label = "<img onerror=x>".into();
    report.participants[0] = "\"><b>".into();
    report.phones[0].name = "</svg>'\"".into();
    let page = html(&report);
    assert!(!page.contains("<script>alert") && !page.contains("<img") && !page.contains("\"><b>"));
    assert!(!page.contains('\u{1b}'));
}

#[test]
fn a_call_without_media_or_messages_has_a_page_too() {
    let page = html(&Report { title: "Nobody answered".into(), ..Report::default() });
    assert!(page.contains("Nobody answered") && page.ends_with("</html>\n"));
}

#[test]
fn marks_of_two_phones_are_told_once() {
    let phone = |marks: &[(f64, &str)], holds: &[(f64, f64)]| Phone {
        marks: marks.iter().map(|(t, w)| (*t, (*w).to_owned())).collect(),
        holds: holds.to_vec(),
        ..Phone::default()
    };
    let phones = [
        phone(&[(3.0, "hold"), (9.0, "hold")], &[(3.0, 4.0)]),
        phone(
            &[(1.0, "key 4"), (1.2, "key 2"), (1.4, "key #"), (3.1, "hold"), (6.0, "key 1")],
            &[(3.1, 4.1)],
        ),
    ];
    let expected = [(1.0, "keys 42#"), (3.0, "hold"), (6.0, "key 1"), (9.0, "hold")];
    assert_eq!(marks(&phones), expected.map(|(t, w)| (t, w.to_owned())));
    assert_eq!(holds(&phones), [(3.0, 4.1)]);
}
