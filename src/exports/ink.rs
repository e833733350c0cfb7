//! Colours. They differ in brightness as well, for whoever prints in grey.

/// What something is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Ink {
    /// Words.
    Text,
    /// Words beside the point.
    Muted,
    /// Headings.
    Accent,
    /// Words that must not be passed over.
    Alert,
    /// Lines between things.
    Rule,
    /// The ground of table heads.
    Shade,
    /// The ground of notices that warn.
    WarningGround,
    /// The edge of notices that warn.
    WarningEdge,
    /// The ground of other notices.
    InfoGround,
    /// What charts show first.
    Main,
    /// What charts show second.
    Second,
    /// What charts show third.
    Third,
}

impl Ink {
    /// Red, green and blue.
    pub(super) fn rgb(self) -> [u8; 3] {
        match self {
            Self::Text => [0x1F, 0x29, 0x33],
            Self::Muted => [0x5B, 0x67, 0x73],
            Self::Accent => [0x1B, 0x4F, 0x72],
            Self::Alert => [0x9A, 0x5B, 0x00],
            Self::Rule => [0xCF, 0xD6, 0xDD],
            Self::Shade => [0xEE, 0xF2, 0xF5],
            Self::WarningGround => [0xFF, 0xF6, 0xE0],
            Self::WarningEdge => [0xD9, 0x8E, 0x04],
            Self::InfoGround => [0xEA, 0xF2, 0xF8],
            Self::Main => [0x1F, 0x6F, 0x9F],
            Self::Second => [0xF0, 0xB4, 0x4C],
            Self::Third => [0xB6, 0x45, 0x3C],
        }
    }

    /// As files write it: `1F2933`.
    pub(super) fn hex(self) -> String {
        let [red, green, blue] = self.rgb();
        format!("{red:02X}{green:02X}{blue:02X}")
    }
}
