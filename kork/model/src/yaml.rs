//! What any text must keep to before a reader of YAML sees it.

/// Brackets that may be open at once, those in texts counted as well.
pub const OPEN_BRACKETS_MAX: u32 = 256;

/// More are open at once than may be. The scanner of YAML takes quadratic time for them, long before its own limit of
/// depth counts.
pub fn opens_too_many(text: &[u8]) -> bool {
    let mut open = 0_u32;
    text.iter().any(|byte| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > OPEN_BRACKETS_MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_while_they_are_open() {
        let most = OPEN_BRACKETS_MAX as usize;
        assert!(!opens_too_many("[".repeat(most).as_bytes()));
        assert!(opens_too_many("[{".repeat(most).as_bytes()));
        assert!(!opens_too_many("[]{}".repeat(10 * most).as_bytes()));
        assert!(!opens_too_many("]".repeat(10 * most).as_bytes()));
    }
}
