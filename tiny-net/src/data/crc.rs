//! CRC32c, the checksum of SCTP packets (RFC 9260 Appendix A), four bytes at a time.

const TABLES: [[u32; 256]; 4] = tables();

const fn tables() -> [[u32; 256]; 4] {
    let mut tables = [[0u32; 256]; 4];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut n = 1;
    while n < 4 {
        let mut i = 0;
        while i < 256 {
            let before = tables[n - 1][i];
            tables[n][i] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            i += 1;
        }
        n += 1;
    }
    tables
}

fn update(mut crc: u32, data: &[u8]) -> u32 {
    let (fours, rest) = data.as_chunks::<4>();
    for four in fours {
        let [a, b, c, d] = (crc ^ u32::from_le_bytes(*four)).to_le_bytes().map(usize::from);
        crc = TABLES[3][a] ^ TABLES[2][b] ^ TABLES[1][c] ^ TABLES[0][d];
    }
    for byte in rest {
        crc = TABLES[0][usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    }
    crc
}

/// The checksum of a packet, as if its own field were zero; the field has it in this order.
pub(super) fn of_packet(packet: &[u8]) -> [u8; 4] {
    let (head, rest) = packet.split_at(packet.len().min(8));
    let crc = update(update(!0, head), &[0; 4]);
    (!update(crc, rest.get(4..).unwrap_or_default())).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_answers_of_crc32c() {
        // RFC 3720 §B.4.
        assert_eq!(!update(!0, &[0; 32]), 0x8a91_36aa);
        assert_eq!(!update(!0, &[0xff; 32]), 0x62a8_ab43);
        assert_eq!(!update(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn the_field_itself_does_not_count() {
        let mut packet = *b"12345678----abcdefg";
        let sum = of_packet(&packet);
        packet[8..12].copy_from_slice(&sum);
        assert_eq!(of_packet(&packet), sum);
        assert_eq!(of_packet(b"123456780000abcdefg"), sum);
    }
}
