//! The page after a call: who sent what when, and how it sounded. One file, nothing from a network.

mod ladder;
mod plot;

use crate::events::Stats;
use plot::{Line, Plot};
use std::fmt::Write as _;

/// Everything the page shows.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) title: String,
    /// One line under the title: when, between whom, how it ended.
    pub(crate) subtitle: String,
    /// Did it go well? Shown as a badge when known.
    pub(crate) verdict: Option<(bool, String)>,
    /// The columns of the ladder, left to right.
    pub(crate) participants: Vec<String>,
    /// The rows of the ladder, in order of time.
    pub(crate) rows: Vec<Row>,
    /// The phones whose media was measured; at most two keep the plots legible.
    pub(crate) phones: Vec<Phone>,
}

/// One row of the ladder.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Row {
    /// Seconds since the start of the page's time axis.
    pub(crate) t: f64,
    /// Columns.
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// What stands on the arrow.
    pub(crate) label: String,
    /// What it is.
    pub(crate) kind: RowKind,
    /// The whole message, or a few words about a stream.
    pub(crate) text: String,
    /// Transport and addresses.
    pub(crate) path: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum RowKind {
    #[default]
    Request,
    /// A response, by the first digit of its status.
    Response(u8),
    Media,
}

impl RowKind {
    fn class(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response(1) => "provisional",
            Self::Response(2) => "success",
            Self::Response(3) => "redirect",
            Self::Response(_) => "failure",
            Self::Media => "media",
        }
    }
}

/// What one phone measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Phone {
    pub(crate) name: String,
    /// Facts in the order in which they are shown, e.g. `("Codec", "opus 48 kHz")`.
    pub(crate) facts: Vec<(String, String)>,
    /// Figures over time, running totals as the contract has them.
    pub(crate) samples: Vec<(f64, Stats)>,
    /// Moments worth a mark, e.g. `(3.2, "key 4")`.
    pub(crate) marks: Vec<(f64, String)>,
    /// Spans on hold.
    pub(crate) holds: Vec<(f64, f64)>,
}

/// The page.
pub(crate) fn html(report: &Report) -> String {
    let mut page = String::with_capacity(64 * 1024);
    let title = escape(&report.title);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\
         <title>{title}</title><style>{}</style></head>\n<body><main>\n<header><h1>{title}</h1>",
        include_str!("report/style.css")
    );
    if let Some((good, words)) = &report.verdict {
        let class = if *good { "good" } else { "bad" };
        let sign = if *good { "✓" } else { "✕" };
        let _ = write!(page, "<span class=\"verdict {class}\">{sign} {}</span>", escape(words));
    }
    let _ = writeln!(page, "<p class=\"subtitle\">{}</p></header>", escape(&report.subtitle));
    summary(&mut page, &report.phones);
    if !report.rows.is_empty() {
        ladder::section(&mut page, &report.participants, &report.rows);
    }
    plots(&mut page, &report.phones);
    figures(&mut page, &report.phones);
    let _ = write!(
        page,
        "<footer>Made by softphone, a part of tiny-ua. All times in seconds.</footer>\n</main>\
         <script>{}</script></body></html>\n",
        include_str!("report/page.js")
    );
    page
}

/// One card a phone: the figures a person asks for first.
fn summary(page: &mut String, phones: &[Phone]) {
    page.push_str("<section class=\"cards\">");
    for (index, phone) in phones.iter().enumerate() {
        let _ = write!(
            page,
            "<div class=\"card\"><h2><i class=\"dot s{index}\"></i>{}</h2><dl>",
            escape(&phone.name)
        );
        for (name, value) in &phone.facts {
            let _ = write!(page, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
        }
        page.push_str("</dl></div>");
    }
    page.push_str("</section>\n");
}

fn plots(page: &mut String, phones: &[Phone]) {
    if phones.iter().all(|p| p.samples.len() < 2) {
        return;
    }
    let times = phones.iter().flat_map(|p| p.samples.iter().map(|(t, _)| *t));
    let span = times.fold((f64::MAX, f64::MIN), |(a, b), t| (a.min(t), b.max(t)));
    let frame = plot::Frame { span, marks: marks(phones), holds: holds(phones) };
    let of = |value: &dyn Fn(&Stats) -> Option<f64>| -> Vec<Line> {
        let line = |(index, phone): (usize, &Phone)| Line {
            name: phone.name.clone(),
            series: index,
            faint: false,
            points: phone.samples.iter().map(|(t, s)| (*t, value(s))).collect(),
        };
        phones.iter().enumerate().map(line).collect()
    };
    page.push_str("<section><h2>Quality over time</h2><div class=\"plots\">");
    let mut put = |plot: Plot| plot::figure(page, &plot, &frame);
    put(Plot::new("Speech quality", "MOS, 1 to 4.5; higher is better", of(&|s| s.mos))
        .range(1.0, 4.5));
    put(Plot::new("Loss", "% of packets, in each interval", loss(phones)).at_least(5.0));
    put(Plot::new("Jitter", "ms, as RFC 3550 estimates it", of(&|s| Some(s.jitter_ms)))
        .at_least(10.0));
    put(Plot::new("Jitter buffer", "ms of sound waiting", of(&|s| Some(s.buffer_ms)))
        .at_least(50.0));
    let levels = |value: &dyn Fn(&Stats) -> f64| of(&|s| Some(value(s).clamp(-80.0, 0.0)));
    put(Plot::new("Level heard", "dB below full scale", levels(&|s| s.output_level_db))
        .range(-80.0, 0.0));
    put(Plot::new("Level said", "dB below full scale", levels(&|s| s.input_level_db))
        .range(-80.0, 0.0));
    page.push_str("</div></section>\n");
}

/// The marks of all phones in order; keys pressed in a row become one, and what both phones noticed
/// at the same time is said once.
fn marks(phones: &[Phone]) -> Vec<(f64, String)> {
    let mut all: Vec<_> = phones.iter().flat_map(|p| p.marks.iter().cloned()).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut merged: Vec<(f64, f64, String)> = Vec::new();
    for (t, words) in all {
        match merged.last_mut() {
            Some((_, last, before)) if *before == words && t - *last < 0.5 => *last = t,
            Some((_, last, before))
                if before.starts_with("key") && words.starts_with("key ") && t - *last < 1.0 =>
            {
                *before =
                    format!("keys {}{}", before.rsplit(' ').next().unwrap_or(""), &words[4..]);
                *last = t;
            }
            _ => merged.push((t, t, words)),
        }
    }
    merged.into_iter().map(|(t, _, words)| (t, words)).collect()
}

/// The spans in which anybody held anybody.
fn holds(phones: &[Phone]) -> Vec<(f64, f64)> {
    let mut all: Vec<_> = phones.iter().flat_map(|p| p.holds.iter().copied()).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut merged: Vec<(f64, f64)> = Vec::new();
    for (from, to) in all {
        match merged.last_mut() {
            Some((_, end)) if from <= *end => *end = end.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// Loss in each interval, from running totals.
fn loss(phones: &[Phone]) -> Vec<Line> {
    let line = |(index, phone): (usize, &Phone)| {
        let mut before = (0, 0);
        let points = phone.samples.iter().map(|(t, s)| {
            let (lost, seen) =
                (s.lost.saturating_sub(before.0), s.rx_packets.saturating_sub(before.1));
            before = (s.lost, s.rx_packets);
            let percent = (lost + seen > 0).then(|| 100.0 * lost as f64 / (lost + seen) as f64);
            (*t, percent)
        });
        let points = points.collect();
        Line { name: phone.name.clone(), series: index, faint: false, points }
    };
    phones.iter().enumerate().map(line).collect()
}

/// The last figures of each phone, as a table.
fn figures(page: &mut String, phones: &[Phone]) {
    let last: Vec<(&str, &Stats)> =
        phones.iter().filter_map(|p| p.samples.last().map(|(_, s)| (p.name.as_str(), s))).collect();
    if last.is_empty() {
        return;
    }
    page.push_str("<section><h2>Figures at the end</h2><table><thead><tr><th></th>");
    for (name, _) in &last {
        let _ = write!(page, "<th>{}</th>", escape(name));
    }
    page.push_str("</tr></thead><tbody>");
    type Figure = (&'static str, fn(&Stats) -> String);
    let rows: [Figure; 12] = [
        ("Packets sent", |s| s.tx_packets.to_string()),
        ("Packets received", |s| s.rx_packets.to_string()),
        ("Bytes sent", |s| s.tx_bytes.to_string()),
        ("Bytes received", |s| s.rx_bytes.to_string()),
        ("Lost", |s| s.lost.to_string()),
        ("Too late", |s| s.late.to_string()),
        ("Duplicated", |s| s.duplicated.to_string()),
        ("Reordered", |s| s.reordered.to_string()),
        ("Concealed", |s| format!("{} ms", s.concealed_ms)),
        ("Jitter", |s| format!("{:.1} ms", s.jitter_ms)),
        ("Round trip", |s| s.rtt_ms.map_or("–".into(), |r| format!("{r:.1} ms"))),
        ("Speech quality (MOS)", |s| s.mos.map_or("–".into(), |m| format!("{m:.2}"))),
    ];
    for (name, show) in rows {
        let _ = write!(page, "<tr><th>{name}</th>");
        for (_, stats) in &last {
            let _ = write!(page, "<td>{}</td>", show(stats));
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></section>\n");
}

/// Text in HTML: whatever came from a peer must stay text.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\r' => {}
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('·'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
