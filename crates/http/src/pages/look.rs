use std::fmt::Write as _;

use thiserror::Error;
use url::Url;

/// What an operator gives the pages: a name, a logo, colours, links.
///
/// # Defaults
///
/// The name Doorward, no logo, blue, no links.
#[derive(Clone, Debug)]
pub struct Look {
    /// What the service is called.
    pub name: String,
    /// Stands in place of the name at the top.
    pub logo: Option<Logo>,
    /// The colour of buttons and links on white; a contrast of 4.5 at least (WCAG 2.2, 1.4.3).
    pub accent: Colour,
    /// The same on the dark ground of the dark scheme.
    pub accent_dark: Colour,
    /// Who runs the service.
    pub imprint: Option<Url>,
    /// What becomes of people's data.
    pub privacy: Option<Url>,
}

/// A picture, as it is served.
#[derive(Clone, Debug)]
pub struct Logo {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its media type.
    pub media_type: &'static str,
}

impl Logo {
    /// The longest picture, in bytes. A page is to stay below 40 KiB in all.
    pub const LONGEST: usize = 16 * 1024;

    /// The media type of a file with this name; `None` where it is none that browsers show.
    #[must_use]
    pub fn media_type_of(file: &str) -> Option<&'static str> {
        let (_, extension) = file.rsplit_once('.')?;
        [("svg", "image/svg+xml"), ("png", "image/png"), ("webp", "image/webp")]
            .into_iter()
            .find_map(|(known, media_type)| extension.eq_ignore_ascii_case(known).then_some(media_type))
    }
}

impl Default for Look {
    fn default() -> Self {
        Self {
            name: "Doorward".to_owned(),
            logo: None,
            accent: Colour([0x1d, 0x4f, 0xd7]),
            accent_dark: Colour([0x8f, 0xb0, 0xff]),
            imprint: None,
            privacy: None,
        }
    }
}

impl Look {
    /// The rules that carry the colours into the stylesheet.
    pub(super) fn css(&self) -> String {
        let mut css = String::new();
        let mut rule = |colour: Colour, open: &str, close: &str| {
            let on = if colour.contrast(Colour::WHITE) >= colour.contrast(Colour::BLACK) { "#fff" } else { "#10131a" };
            // Writing into a string cannot fail.
            writeln!(css, "{open}:root{{--accent:{};--on-accent:{on}}}{close}", colour.css()).unwrap_or_default();
        };
        rule(self.accent, "", "");
        rule(self.accent_dark, "@media (prefers-color-scheme: dark){", "}");
        css
    }
}

/// A colour in sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour([u8; 3]);

/// The text is not a [`Colour`], or the colour cannot be read where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidColour {
    /// It is not written as `#rrggbb`.
    #[error("must be a colour such as #1d4fd7")]
    Malformed,
    /// It is too near to the ground.
    #[error("must have a contrast of at least 4.5 to the ground, so that it can be read")]
    TooFaint,
}

impl Colour {
    const WHITE: Self = Self([0xff; 3]);
    const BLACK: Self = Self([0x10, 0x13, 0x1a]);
    /// The grounds of the stylesheet that stand nearest to an accent.
    const LIGHT_GROUND: Self = Self([0xf6, 0xf7, 0xf9]);
    const DARK_GROUND: Self = Self([0x1d, 0x20, 0x26]);

    /// Reads a colour for the light scheme.
    ///
    /// # Errors
    ///
    /// [`InvalidColour`].
    pub fn on_light(text: &str) -> Result<Self, InvalidColour> {
        Self::parse(text)?.readable_on(Self::LIGHT_GROUND)
    }

    /// Reads a colour for the dark scheme.
    ///
    /// # Errors
    ///
    /// [`InvalidColour`].
    pub fn on_dark(text: &str) -> Result<Self, InvalidColour> {
        Self::parse(text)?.readable_on(Self::DARK_GROUND)
    }

    fn parse(text: &str) -> Result<Self, InvalidColour> {
        let digits = text
            .strip_prefix('#')
            .filter(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(InvalidColour::Malformed)?;
        let [_, red, green, blue] = number.to_be_bytes();
        Ok(Self([red, green, blue]))
    }

    fn readable_on(self, ground: Self) -> Result<Self, InvalidColour> {
        if self.contrast(ground) >= 4.5 { Ok(self) } else { Err(InvalidColour::TooFaint) }
    }

    fn css(self) -> String {
        let [red, green, blue] = self.0;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// The contrast ratio of WCAG 2.2.
    fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance(), other.luminance());
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// The relative luminance of WCAG 2.2.
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|channel| {
            let channel = f64::from(channel) / 255.0;
            if channel <= 0.04045 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_six_digits_that_can_be_read_on_their_ground() {
        assert_eq!(Colour::on_light("#1d4fd7").map(Colour::css).as_deref(), Ok("#1d4fd7"));
        assert_eq!(Colour::on_light("#1D4FD7").map(Colour::css).as_deref(), Ok("#1d4fd7"));
        assert_eq!(Colour::on_dark("#8fb0ff").map(Colour::css).as_deref(), Ok("#8fb0ff"));
        for text in ["", "1d4fd7", "#1d4fd", "#1d4fd77", "#+d4fd7", "#12é45", "red", "#fff;}"] {
            assert_eq!(Colour::on_light(text), Err(InvalidColour::Malformed), "{text}");
        }
        assert_eq!(Colour::on_light("#8fb0ff"), Err(InvalidColour::TooFaint));
        assert_eq!(Colour::on_dark("#1d4fd7"), Err(InvalidColour::TooFaint));
    }

    #[test]
    fn what_stands_on_an_accent_can_be_read() {
        assert!((Colour::WHITE.contrast(Colour([0; 3])) - 21.0).abs() < 0.01);
        let css = Look::default().css();
        assert!(css.contains("--accent:#1d4fd7;--on-accent:#fff"), "{css}");
        assert!(css.contains("--accent:#8fb0ff;--on-accent:#10131a"), "{css}");
    }

    #[test]
    fn a_logo_is_a_picture_that_browsers_show() {
        assert_eq!(Logo::media_type_of("a/logo.SVG"), Some("image/svg+xml"));
        for file in ["logo", "logo.html", "logo.svg.exe"] {
            assert_eq!(Logo::media_type_of(file), None, "{file}");
        }
    }
}
