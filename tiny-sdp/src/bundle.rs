//! BUNDLE groups as a description names them (RFC 9143, RFC 5888). Reads; decides nothing.

use crate::description::{AttributeList as _, Description};
use smallvec::SmallVec;

/// Whether streams share one transport, and how an offer says so (JSEP, RFC 8829 §4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BundlePolicy {
    /// No bundling: no group is offered and none is accepted.
    #[default]
    Off,
    /// Every stream has an address of its own, should the peer not bundle.
    MaxCompat,
    /// The first stream of each kind has one; the others are `a=bundle-only`.
    Balanced,
    /// Only the first stream has one.
    MaxBundle,
}

/// `m=` lines of a group, in the group's order.
pub(crate) type Members = SmallVec<[usize; 4]>;

/// The groups of one kind: `BUNDLE`, `LS`. A line is in one group at most; names that no line has
/// are passed over.
pub(crate) fn groups(description: &Description, semantics: &str) -> Vec<Members> {
    let mut all = Vec::new();
    let mut seen: SmallVec<[usize; 8]> = SmallVec::new();
    let mut mids: Vec<Option<&str>> = Vec::new();
    for line in description.values("group") {
        let mut words = line.split_ascii_whitespace();
        if !words.next().is_some_and(|w| w.eq_ignore_ascii_case(semantics)) {
            continue;
        }
        if mids.is_empty() {
            mids.extend(description.all_media().map(|m| m.mid().map(str::trim)));
        }
        let mut members = Members::new();
        for word in words {
            let Some(index) = mids.iter().position(|mid| *mid == Some(word)) else { continue };
            if !seen.contains(&index) {
                seen.push(index);
                members.push(index);
            }
        }
        if !members.is_empty() {
            all.push(members);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[test]
    fn groups_are_read_leniently_and_a_line_is_in_one_only() {
        let text = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n\
            a=group:BUNDLE b nobody a a\r\na=group:bundle c a\r\na=group:LS a b\r\na=group:BUNDLE\r\n\
            m=audio 9 RTP/AVP 0\r\na=mid:a\r\nm=audio 9 RTP/AVP 0\r\na=mid:b\r\n\
            m=audio 9 RTP/AVP 0\r\na=mid:c\r\nm=audio 9 RTP/AVP 0\r\n";
        let d = Description::parse(text.as_bytes(), &Limits::default()).unwrap();
        let read = |s| groups(&d, s).into_iter().map(|g| g.into_vec()).collect::<Vec<_>>();
        assert_eq!(read("BUNDLE"), [vec![1, 0], vec![2]]);
        assert_eq!(read("LS"), [vec![0, 1]]);
    }
}
