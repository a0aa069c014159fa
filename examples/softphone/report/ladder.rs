//! The ladder diagram: a column for each participant, an arrow for each message.

use super::{Row, RowKind, escape};
use std::fmt::Write as _;

const TIME_WIDTH: f64 = 46.0;
const ROW: f64 = 34.0;
const HEAD: f64 = 46.0;
/// More than this many rows would be a wall, not a picture.
const MOST_ROWS: usize = 400;

/// Writes the section: the diagram at the left, the chosen message's text at the right.
pub(super) fn section(page: &mut String, participants: &[String], all: &[Row]) {
    let rows = &all[..all.len().min(MOST_ROWS)];
    page.push_str("<section><h2>Messages</h2><div class=\"ladder\"><div class=\"scroll\">");
    diagram(page, participants, rows);
    page.push_str("</div><div class=\"texts\">");
    for (index, row) in rows.iter().enumerate() {
        let _ = write!(
            page,
            "<article id=\"m{index}\"><h3>{}</h3><p>{}</p><pre>{}</pre></article>",
            escape(&row.label),
            escape(&row.path),
            escape(&row.text)
        );
    }
    page.push_str("</div></div>");
    if all.len() > rows.len() {
        let _ = write!(
            page,
            "<p class=\"subtitle\">{} more messages are not shown.</p>",
            all.len() - rows.len()
        );
    }
    page.push_str("</section>\n");
}

fn diagram(page: &mut String, participants: &[String], rows: &[Row]) {
    let columns = participants.len().max(2);
    let gap = match columns {
        2 => 320.0,
        3 => 250.0,
        _ => 190.0,
    };
    let x = |column: usize| TIME_WIDTH + 70.0 + gap * column.min(columns - 1) as f64;
    let width = x(columns - 1) + 80.0;
    let height = HEAD + ROW * rows.len() as f64 + 24.0;
    let _ = write!(
        page,
        "<svg class=\"diagram\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"Ladder diagram of {} messages\">",
        rows.len()
    );
    for (column, name) in participants.iter().enumerate() {
        let x = x(column);
        let _ = write!(
            page,
            "<text class=\"who\" x=\"{x}\" y=\"20\">{}</text>\
             <line class=\"life\" x1=\"{x}\" y1=\"30\" x2=\"{x}\" y2=\"{}\"/>",
            escape(&shorten(name, 26)),
            height - 8.0
        );
    }
    for (index, row) in rows.iter().enumerate() {
        let y = HEAD + ROW * index as f64 + 20.0;
        let (from, to) = (x(row.from), x(row.to));
        arrow(page, index, row, from, to, y);
        let _ = write!(
            page,
            "<text class=\"time\" x=\"{TIME_WIDTH}\" y=\"{}\">{:.3}</text></a>",
            y + 4.0,
            row.t
        );
    }
    page.push_str("</svg>");
}

fn arrow(page: &mut String, index: usize, row: &Row, from: f64, to: f64, y: f64) {
    let class = row.kind.class();
    let _ = write!(
        page,
        "<a href=\"#m{index}\" class=\"row {class}\"><rect class=\"hit\" x=\"0\" y=\"{}\" width=\"100%\" \
         height=\"{ROW}\"/>",
        y - 20.0
    );
    if row.from == row.to {
        // A participant that speaks with itself: a loop at its line.
        let _ = write!(
            page,
            "<path class=\"shaft\" d=\"M{from} {} h34 v8 h-34\"/><text class=\"label\" x=\"{}\" y=\"{}\" \
             style=\"text-anchor:start\">{}</text>",
            y - 4.0,
            from + 40.0,
            y + 4.0,
            escape(&shorten(&row.label, 24))
        );
        return;
    }
    let sign = (to - from).signum();
    // The head ends at the line of life; the shaft stops inside the head.
    let _ = write!(
        page,
        "<line class=\"shaft\" x1=\"{from}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\"/>\
         <path class=\"tip\" d=\"M{to} {y} l{} -4.5 v9 z\"/>",
        to - sign * 6.0,
        -sign * 9.0
    );
    if row.kind == RowKind::Media {
        let _ = write!(page, "<path class=\"tip\" d=\"M{from} {y} l{} -4.5 v9 z\"/>", sign * 9.0);
    }
    let room = ((to - from).abs() / 6.6) as usize;
    let _ = write!(
        page,
        "<text class=\"label\" x=\"{}\" y=\"{}\">{}</text>",
        f64::midpoint(from, to),
        y - 6.0,
        escape(&shorten(&row.label, room.max(12)))
    );
}

/// Cuts a text so that it fits, with a sign that it was cut.
fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
