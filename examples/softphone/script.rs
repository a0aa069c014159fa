//! Scripts: one command a line with a time in seconds after the answer, e.g. `2.0 hold`.

use std::time::Duration;

/// One thing to do in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Hold,
    Resume,
    Dtmf(String),
    Transfer(String),
    Hangup,
}

/// What to do when, in the order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Script(pub(crate) Vec<(Duration, Action)>);

/// Reads a script. An error begins with the line's number.
pub(crate) fn parse(text: &str) -> Result<Script, String> {
    let mut steps = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or("").trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        steps.push(step(line).map_err(|e| format!("line {}: {e}", number + 1))?);
    }
    // Stable: what is written first at one time happens first.
    steps.sort_by_key(|(at, _)| *at);
    Ok(Script(steps))
}

fn step(line: &str) -> Result<(Duration, Action), String> {
    let (time, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let at = match time.parse::<f64>() {
        Ok(s) if s.is_finite() && (0.0..=1e6).contains(&s) => Duration::from_secs_f64(s),
        _ => return Err(format!("'{time}' is not a time in seconds; expected e.g. `2.0 hold`")),
    };
    let (command, argument) =
        rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
    let argument = argument.trim();
    let action = match (command, argument) {
        ("hold", "") => Action::Hold,
        ("resume", "") => Action::Resume,
        ("hangup", "") => Action::Hangup,
        ("hold" | "resume" | "hangup", extra) => {
            return Err(format!("'{command}' takes nothing after it, but there is '{extra}'"));
        }
        ("dtmf", digits) => Action::Dtmf(check_digits(digits)?),
        ("transfer", uri) => Action::Transfer(check_target(uri)?),
        ("", _) => return Err(format!("a command is missing; there are {COMMANDS}")),
        (other, _) => return Err(format!("'{other}' is not a command; there are {COMMANDS}")),
    };
    Ok((at, action))
}

const COMMANDS: &str = "hold, resume, dtmf DIGITS, transfer URI, hangup";

/// A URI to transfer to, or a sentence about what is wrong with it.
pub(crate) fn check_target(uri: &str) -> Result<String, String> {
    if uri.is_empty() {
        return Err("transfer to whom? e.g. `transfer sip:carol@example.com`".into());
    }
    match tiny_ua::UserAgent::check_uri(uri) {
        Ok(()) => Ok(uri.to_owned()),
        Err(e) => Err(format!("transfer: {e}")),
    }
}

/// Keys of a telephone, upper case, or a sentence about the first that is none.
pub(crate) fn check_digits(digits: &str) -> Result<String, String> {
    let upper = digits.to_ascii_uppercase();
    if upper.is_empty() {
        return Err("dtmf needs keys, e.g. `dtmf 1#`".into());
    }
    match upper.chars().find(|c| !"0123456789*#ABCD".contains(*c)) {
        Some(bad) => Err(format!("'{bad}' is not a key; there are 0-9, *, # and A-D")),
        None => Ok(upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_in_order_of_time() {
        let script =
            parse("# a comment\n\n4 resume\n2.0 hold   # why\n 7.5 dtmf 1#a\n8 transfer sip:c@x\n9\thangup\n").unwrap();
        let ms = Duration::from_millis;
        let expected = [
            (ms(2000), Action::Hold),
            (ms(4000), Action::Resume),
            (ms(7500), Action::Dtmf("1#A".into())),
            (ms(8000), Action::Transfer("sip:c@x".into())),
            (ms(9000), Action::Hangup),
        ];
        assert_eq!(script.0, expected);
    }

    #[test]
    fn errors_name_the_line_and_what_would_be_right() {
        for (text, expected) in [
            ("1 hold\nsoon resume", "line 2: 'soon' is not a time"),
            ("1 dance", "line 1: 'dance' is not a command; there are hold"),
            ("1", "line 1: a command is missing"),
            ("1 dtmf", "line 1: dtmf needs keys"),
            ("1 dtmf 12x", "line 1: 'X' is not a key"),
            ("\n\n6 transfer carol", "line 3: transfer: URI: 'carol' is not a"),
            ("1 transfer", "line 1: transfer to whom?"),
            ("1 hold now", "line 1: 'hold' takes nothing after it"),
            ("-1 hold", "line 1: '-1' is not a time"),
            ("nan hold", "line 1: 'nan' is not a time"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }
}
