//! Line plots as SVG: one quantity each, a shared time axis, few and quiet marks.

use super::escape;
use std::fmt::Write as _;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 176.0;
const LEFT: f64 = 38.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 22.0;

/// One line of a plot.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: String,
    /// Its colour's number.
    pub(super) series: usize,
    pub(super) faint: bool,
    /// Time and value; `None` leaves a gap.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// One quantity over time.
#[derive(Debug, Clone)]
pub(super) struct Plot {
    title: &'static str,
    unit: &'static str,
    lines: Vec<Line>,
    low: f64,
    high: f64,
}

/// What all plots of a page share.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) span: (f64, f64),
    pub(super) marks: Vec<(f64, String)>,
    pub(super) holds: Vec<(f64, f64)>,
}

impl Plot {
    pub(super) fn new(title: &'static str, unit: &'static str, lines: Vec<Line>) -> Self {
        Self { title, unit, lines, low: 0.0, high: 1.0 }
    }

    /// A fixed range.
    pub(super) fn range(mut self, low: f64, high: f64) -> Self {
        (self.low, self.high) = (low, high);
        self
    }

    /// From zero to the largest value, but never a range so small that noise looks like a storm.
    pub(super) fn at_least(mut self, least: f64) -> Self {
        let values = self.lines.iter().flat_map(|l| l.points.iter().filter_map(|(_, v)| *v));
        let top = values.filter(|v| v.is_finite()).fold(least, f64::max);
        let step = step_of(top);
        (self.low, self.high) = (0.0, (top / step).ceil() * step);
        self
    }
}

/// A step of 1, 2 or 5 times a power of ten that cuts the range into about four.
fn step_of(range: f64) -> f64 {
    let raw = range / 4.0;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|s| s * power >= raw * 0.999).unwrap_or(10.0);
    step * power
}

/// Writes a plot with its heading and legend.
pub(super) fn figure(page: &mut String, plot: &Plot, frame: &Frame) {
    let _ = write!(
        page,
        "<figure><figcaption><b>{}</b> <span>{}</span>",
        escape(plot.title),
        escape(plot.unit)
    );
    if plot.lines.len() > 1 {
        page.push_str("<span class=\"legend\">");
        for line in &plot.lines {
            let _ = write!(
                page,
                "<span><i class=\"dash s{}\"></i>{}</span>",
                line.series,
                escape(&line.name)
            );
        }
        page.push_str("</span>");
    }
    page.push_str("</figcaption>");
    let (start, end) = (frame.span.0, frame.span.1.max(frame.span.0 + 0.1));
    let x = |t: f64| LEFT + (t - start) / (end - start) * (WIDTH - LEFT - RIGHT);
    let y = |v: f64| {
        let part = (v - plot.low) / (plot.high - plot.low);
        HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    };
    let _ = write!(
        page,
        "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\" \
         data-lines=\"{}\" data-x=\"{start},{end},{LEFT},{}\">",
        escape(plot.title),
        escape(&data(&plot.lines)),
        WIDTH - RIGHT
    );
    for (from, to) in &frame.holds {
        let (a, b) = (x(from.max(start)), x(to.min(end)));
        let _ = write!(
            page,
            "<rect class=\"held\" x=\"{a:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"/>",
            (b - a).max(0.0),
            HEIGHT - TOP - BOTTOM
        );
        if b - a > 26.0 {
            let (x, y) = (f64::midpoint(a, b), TOP + 12.0);
            let _ = write!(page, "<text class=\"marked\" x=\"{x:.1}\" y=\"{y}\">hold</text>");
        }
    }
    axes(page, plot, (start, end), &x, &y);
    let mut free_from = f64::MIN;
    for (t, words) in &frame.marks {
        let at = x(*t);
        let _ = write!(
            page,
            "<line class=\"mark\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{}\"/>",
            HEIGHT - BOTTOM
        );
        // Where labels would run into each other, the first one stays.
        let half = 3.0 * words.chars().count() as f64;
        if at - half >= free_from {
            let _ = write!(
                page,
                "<text class=\"marked\" x=\"{at:.1}\" y=\"11\">{}</text>",
                escape(words)
            );
            free_from = at + half + 8.0;
        }
    }
    for line in &plot.lines {
        let faint = if line.faint { " faint" } else { "" };
        let _ = write!(
            page,
            "<path class=\"line s{}{faint}\" d=\"{}\"/>",
            line.series,
            path(line, &x, &y)
        );
    }
    page.push_str(
        "<line class=\"cursor\" y1=\"16\" y2=\"154\" visibility=\"hidden\"/></svg></figure>",
    );
}

fn axes(
    page: &mut String,
    plot: &Plot,
    (start, end): (f64, f64),
    x: &dyn Fn(f64) -> f64,
    y: &dyn Fn(f64) -> f64,
) {
    let step = step_of(plot.high - plot.low);
    let mut value = (plot.low / step).ceil() * step;
    while value <= plot.high + step * 1e-6 {
        let at = y(value);
        let _ = write!(
            page,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" x=\"{}\" y=\"{:.1}\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 3.5,
            number(value)
        );
        value += step;
    }
    let step = step_of((end - start) * 0.6);
    let mut t = (start / step).ceil() * step;
    while t <= end {
        let _ = write!(
            page,
            "<text class=\"tick mid\" x=\"{:.1}\" y=\"{}\">{} s</text>",
            x(t).clamp(LEFT, WIDTH - 16.0),
            HEIGHT - 6.0,
            number(t)
        );
        t += step;
    }
}

fn path(line: &Line, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) -> String {
    let mut d = String::new();
    let mut pen = 'M';
    for (t, value) in &line.points {
        match value.filter(|v| v.is_finite()) {
            Some(v) => {
                let _ = write!(d, "{pen}{:.1} {:.1}", x(*t), y(v));
                pen = 'L';
            }
            None => pen = 'M',
        }
    }
    d
}

/// The points for the page's script, which shows the values under the pointer.
fn data(lines: &[Line]) -> String {
    let lines: Vec<serde_json::Value> = lines
        .iter()
        .map(|l| {
            let points: Vec<(f64, Option<f64>)> =
                l.points.iter().map(|(t, v)| (round(*t), v.map(round))).collect();
            serde_json::json!({ "name": l.name, "series": l.series, "points": points })
        })
        .collect();
    serde_json::Value::from(lines).to_string()
}

fn round(v: f64) -> f64 {
    (v * 100.0).round() / 100.0
}

fn number(v: f64) -> String {
    let text = format!("{v:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.replace('-', "−") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (range, step) in [(4.0, 1.0), (5.0, 2.0), (100.0, 50.0), (80.0, 20.0), (0.4, 0.1)] {
            assert!((step_of(range) - step).abs() < 1e-9, "{range}: {}", step_of(range));
        }
    }

    #[test]
    fn a_missing_value_is_a_gap_in_the_line() {
        let points = vec![(0.0, Some(1.0)), (1.0, None), (2.0, Some(2.0)), (3.0, Some(f64::NAN))];
        let line = Line { name: "a".into(), series: 0, faint: false, points };
        assert_eq!(path(&line, &|t| t, &|v| v), "M0.0 1.0M2.0 2.0");
    }
}
