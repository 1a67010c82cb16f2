//! The colours that follow from an application's own, so that everything can be read on it and beside it in both schemes:
//! contrast as WCAG 2.2 computes it, 4.5 for text (1.4.3) and 3 for what has to be told apart (1.4.11). Knows no HTML.

use std::fmt::Write as _;

/// What a button has without a colour of its own.
const USUAL: Rgb = Rgb([0x15, 0x57, 0xd6]);
/// What text on a button is written in: one of them is always 4.5 away.
const INKS: [Rgb; 2] = [Rgb([0xff; 3]), Rgb([0; 3])];
/// What a button lies on, and what its edge is drawn in where the button itself could not be told from that: `--card` and
/// `--line` of the style sheet, in the light scheme and in the dark one.
const SCHEMES: [(Rgb, Rgb); 2] =
    [(Rgb([0xff; 3]), Rgb([0x86, 0x8e, 0x9c])), (Rgb([0x1a, 0x1d, 0x23]), Rgb([0x7c, 0x85, 0x94]))];
/// The least contrast of what has to be told apart.
const APART: f64 = 3.0;

/// Red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rgb([u8; 3]);

impl Rgb {
    /// Reads `#rrggbb`.
    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 3];
        crate::secret::from_hex(text.strip_prefix('#')?, &mut bytes)?;
        Some(Self(bytes))
    }

    /// Relative luminance, 0 to 1 (WCAG 2.2, "relative luminance").
    fn luminance(self) -> f64 {
        let linear = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        let [red, green, blue] = linear;
        0.212_6 * red + 0.715_2 * green + 0.072_2 * blue
    }

    /// 1 to 21 (WCAG 2.2, "contrast ratio").
    fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    fn write(self, css: &mut String) {
        // A string takes whatever is written.
        let [red, green, blue] = self.0;
        let _ = write!(css, "#{red:02x}{green:02x}{blue:02x}");
    }
}

/// The custom properties that the style sheet is drawn with: `--accent`, `--on-accent`, `--edge-light`, `--edge-dark`.
pub(super) fn properties(colour: Option<&str>) -> String {
    let accent = colour.and_then(Rgb::parse).unwrap_or(USUAL);
    let [white, black] = INKS;
    let ink = if accent.contrast(white) >= accent.contrast(black) { white } else { black };
    let [light, dark] = SCHEMES.map(|(card, line)| if accent.contrast(card) >= APART { accent } else { line });
    let mut css = String::with_capacity(96);
    css.push_str(":root{");
    let parts = [("--accent:", accent), (";--on-accent:", ink), (";--edge-light:", light), (";--edge-dark:", dark)];
    for (name, colour) in parts {
        css.push_str(name);
        colour.write(&mut css);
    }
    css.push('}');
    css
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrasts_are_those_of_the_guidelines() {
        let contrast = |one: &str, two: &str| Rgb::parse(one).unwrap().contrast(Rgb::parse(two).unwrap());
        assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 0.001);
        assert!((contrast("#777777", "#ffffff") - 4.48).abs() < 0.01);
        assert!((contrast("#0000ff", "#ffffff") - 8.59).abs() < 0.01);
        assert!(Rgb::parse("red").is_none() && Rgb::parse("#12345").is_none() && Rgb::parse("#zzzzzz").is_none());
    }

    #[test]
    fn text_on_any_colour_can_be_read_and_its_edge_be_seen() {
        for red in (0..=255).step_by(15) {
            for green in (0..=255).step_by(15) {
                for blue in (0..=255).step_by(15) {
                    let accent = Rgb([red, green, blue]);
                    let mut text = String::new();
                    accent.write(&mut text);
                    let css = properties(Some(&text));
                    let value = |name: &str| {
                        let at = css.find(&format!("{name}:")).unwrap() + name.len() + 1;
                        Rgb::parse(&css[at..at + 7]).unwrap()
                    };
                    assert_eq!(value("--accent"), accent);
                    assert!(accent.contrast(value("--on-accent")) >= 4.5, "{css}");
                    for (name, (card, _)) in ["--edge-light", "--edge-dark"].into_iter().zip(SCHEMES) {
                        assert!(value(name).contrast(card) >= APART, "{css}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_schemes_are_those_of_the_style_sheet() {
        let sheet = include_str!("../../../templates/page/style.css");
        for (card, line) in SCHEMES {
            for (name, colour) in [("--card", card), ("--line", line)] {
                let mut text = String::new();
                colour.write(&mut text);
                let short = if text == "#ffffff" { "#fff" } else { &text };
                assert!(sheet.contains(&format!("{name}: {short};")), "{name} {text}");
            }
        }
    }

    #[test]
    fn every_text_of_the_style_sheet_can_be_read() {
        let sheet = include_str!("../../../templates/page/style.css");
        let schemes: Vec<_> = sheet.lines().filter(|line| line.contains("--page:")).collect();
        assert_eq!(schemes.len(), 2);
        for scheme in schemes {
            let value = |name: &str| {
                let at = scheme.find(&format!("--{name}: ")).unwrap() + name.len() + 4;
                let text: String = scheme[at..].chars().take_while(|letter| *letter != ';').collect();
                Rgb::parse(if text == "#fff" { "#ffffff" } else { &text }).unwrap()
            };
            for (text, ground, least) in [
                ("ink", "card", 4.5),
                ("ink", "page", 4.5),
                ("dim", "card", 4.5),
                ("bad", "bad-card", 4.5),
                ("bad", "card", 3.0),
                ("good", "card", 3.0),
                ("line", "card", APART),
            ] {
                let contrast = value(text).contrast(value(ground));
                assert!(contrast >= least, "{text} on {ground}: {contrast:.2}");
            }
        }
    }
}
