//! Draws a slider puzzle: a background with a hole, and the piece that was cut out of it.
//!
//! 310 by 155 pixels and a strip of 47 by 155, the sizes that clients of this kind of captcha lay out. Pixels are indices
//! of a palette, drawn a row at a time, so that a puzzle costs a few milliseconds. Must not know who asks.

use rand::RngExt as _;

use crate::secret::{Entropy, EntropyRng};

/// Width of the background in pixels; the unit of the answer.
pub const WIDTH: usize = 310;
/// Height of both images in pixels.
pub const HEIGHT: usize = 155;
/// Width of the strip with the piece, and the side of the box that the piece fills.
pub const PIECE: usize = 47;
/// Where the hole may begin, from the left: far enough from where the piece starts.
pub const FIRST: u16 = 40;
/// The last place where it may begin.
pub const LAST: u16 = 260;

/// Pixels between the piece and the upper and lower edges, at least.
const MARGIN: usize = 5;
/// Colours of the scene: sixteen, each in eight shades. The upper half of the palette is the same, in shadow.
const COLOURS: usize = 16;
const SHADES: u8 = 8;
const SHADOW: u8 = 128;
/// In the piece's palette: its rim, and what is not the piece.
const RIM: u8 = 254;
const NOTHING: u8 = 255;

/// A puzzle, drawn.
pub struct Drawing {
    /// The background with the hole, PNG.
    pub background: Vec<u8>,
    /// The piece in its strip, PNG.
    pub piece: Vec<u8>,
}

/// Draws a puzzle whose hole begins `position` pixels from the left.
///
/// # Errors
/// Those of the encoder, which has none for images of this kind.
pub fn draw(position: u16, entropy: &dyn Entropy) -> Result<Drawing, png::EncodingError> {
    let mut rng = EntropyRng(entropy);
    let palette = palette(&mut rng);
    let mut scene = scene(&mut rng, entropy);
    let left = usize::from(position.clamp(FIRST, LAST));
    let top = rng.random_range(MARGIN..=HEIGHT - PIECE - MARGIN);
    let outline = Outline::any(&mut rng);
    let piece = cut(&scene, left, top, outline);
    // A hole of another outline, on another height: a program has to find out which of them the piece fits.
    let decoy = decoy(&mut rng, left, top);
    shade(&mut scene, decoy.0, decoy.1, outline.other());
    shade(&mut scene, left, top, outline);
    Ok(Drawing { background: encode(WIDTH, &scene, &palette, None)?, piece: encode_piece(&piece, palette)? })
}

/// Sixteen colours around a hue, in eight shades, and all of it again in shadow.
fn palette(rng: &mut EntropyRng<'_>) -> Vec<u8> {
    let mut palette = vec![0; 256 * 3];
    let tint: [u8; 3] = [rng.random_range(0..60), rng.random_range(0..60), rng.random_range(0..60)];
    for colour in 0..COLOURS {
        let base: [u8; 3] = [rng.random_range(50..170), rng.random_range(50..170), rng.random_range(50..170)];
        for shade in 0..usize::from(SHADES) {
            let index = (colour * usize::from(SHADES) + shade) * 3;
            for (channel, (base, tint)) in base.iter().zip(tint).enumerate() {
                let light = base.saturating_add(tint / 2).saturating_add(u8::try_from(shade * 4).unwrap_or(0));
                if let Some(place) = palette.get_mut(index + channel) {
                    *place = light;
                }
                if let Some(place) = palette.get_mut(usize::from(SHADOW) * 3 + index + channel) {
                    *place = light / 2;
                }
            }
        }
    }
    palette
}

/// A scene of bands, discs and bars, with noise on every pixel.
fn scene(rng: &mut EntropyRng<'_>, entropy: &dyn Entropy) -> Vec<u8> {
    let mut scene = vec![0; WIDTH * HEIGHT];
    let colour = |rng: &mut EntropyRng<'_>| rng.random_range(0..16_u8) * SHADES;
    let mut band = colour(rng);
    let mut until = 0;
    for (y, row) in scene.chunks_exact_mut(WIDTH).enumerate() {
        if y >= until {
            band = colour(rng);
            until = y + rng.random_range(12..40);
        }
        row.fill(band);
    }
    for _ in 0..26 {
        let (x, y) = (rng.random_range(0..WIDTH), rng.random_range(0..HEIGHT));
        let (size, colour) = (rng.random_range(6..34_usize), colour(rng));
        let round = rng.random_range(0..3) > 0;
        let stretch = rng.random_range(1..4);
        for line in y.saturating_sub(size)..(y + size).min(HEIGHT) {
            let away = line.abs_diff(y);
            let half = if round { (size * size - away * away).isqrt() } else { size * stretch / 2 };
            fill(&mut scene, line, x.saturating_sub(half), x + half, colour);
        }
    }
    let mut noise = vec![0; WIDTH * HEIGHT];
    entropy.fill(&mut noise);
    for (pixel, noise) in scene.iter_mut().zip(noise) {
        *pixel |= noise & (SHADES - 1);
    }
    scene
}

fn fill(scene: &mut [u8], line: usize, from: usize, to: usize, colour: u8) {
    if let Some(row) = scene.get_mut(line * WIDTH + from.min(WIDTH)..line * WIDTH + to.min(WIDTH)) {
        row.fill(colour);
    }
}

/// Where a piece has its knobs, and whether it has a notch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outline {
    knob_above: bool,
    notch_left: bool,
}

impl Outline {
    fn any(rng: &mut EntropyRng<'_>) -> Self {
        let kind = rng.random_range(0..4);
        Self { knob_above: kind & 1 == 0, notch_left: kind & 2 == 0 }
    }

    /// One that differs in both.
    const fn other(self) -> Self {
        Self { knob_above: !self.knob_above, notch_left: !self.notch_left }
    }

    /// Where one line of the piece begins and ends, from the left of its box: a square of 37 pixels, a round knob on its
    /// right and another above or below it, and perhaps a notch on its left.
    fn line(self, y: usize) -> (usize, usize) {
        const SIDE: usize = 37;
        const KNOB: usize = 9;
        let top = if self.knob_above { PIECE - SIDE } else { 0 };
        let disc = |centre: usize| ((KNOB + 1).pow(2) - 1).saturating_sub(y.abs_diff(centre).pow(2)).isqrt();
        if (top..top + SIDE).contains(&y) {
            let bulge = disc(top + SIDE / 2);
            (if self.notch_left { bulge } else { 0 }, SIDE + bulge)
        } else {
            let bulge = disc(if self.knob_above { KNOB } else { PIECE - KNOB - 1 });
            (SIDE / 2 - bulge, SIDE / 2 + bulge)
        }
    }
}

/// A place for the second hole: beside the first one, so that they do not overlap.
fn decoy(rng: &mut EntropyRng<'_>, left: usize, top: usize) -> (usize, usize) {
    let room = WIDTH - PIECE;
    let away = rng.random_range(PIECE + 8..room - PIECE - 8);
    let x = (left + away) % room;
    let x = if x.abs_diff(left) < PIECE { (left + room / 2) % room } else { x };
    let highest = HEIGHT - PIECE - MARGIN;
    let y = (top + rng.random_range(20..60)) % highest;
    (x, y.max(MARGIN))
}

/// The pixels of the piece in its strip, [`NOTHING`] around it.
fn cut(scene: &[u8], left: usize, top: usize, outline: Outline) -> Vec<u8> {
    let mut strip = vec![NOTHING; PIECE * HEIGHT];
    for y in 0..PIECE {
        let (from, to) = outline.line(y);
        let target = (top + y) * PIECE;
        let source = (top + y) * WIDTH + left;
        let place = strip.get_mut(target + from..target + to);
        if let (Some(place), Some(pixels)) = (place, scene.get(source + from..source + to)) {
            place.copy_from_slice(pixels);
            if let [first, .., last] = place {
                (*first, *last) = (RIM, RIM);
            }
        }
    }
    strip
}

/// Puts the pixels of a hole into shadow.
fn shade(scene: &mut [u8], left: usize, top: usize, outline: Outline) {
    for y in 0..PIECE {
        let (from, to) = outline.line(y);
        let row = (top + y) * WIDTH + left;
        if let Some(pixels) = scene.get_mut(row + from..row + to) {
            pixels.iter_mut().for_each(|pixel| *pixel |= SHADOW);
        }
    }
}

fn encode_piece(strip: &[u8], mut palette: Vec<u8>) -> Result<Vec<u8>, png::EncodingError> {
    if let Some(rim) = palette.get_mut(usize::from(RIM) * 3..usize::from(RIM) * 3 + 3) {
        rim.fill(245);
    }
    let mut opacity = vec![u8::MAX; 256];
    if let Some(nothing) = opacity.get_mut(usize::from(NOTHING)) {
        *nothing = 0;
    }
    encode(PIECE, strip, &palette, Some(opacity))
}

fn encode(
    width: usize,
    pixels: &[u8],
    palette: &[u8],
    opacity: Option<Vec<u8>>,
) -> Result<Vec<u8>, png::EncodingError> {
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(pixels.len() + 2_048);
    let mut encoder = png::Encoder::new(&mut bytes, side(width), side(HEIGHT));
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    if let Some(opacity) = opacity {
        encoder.set_trns(opacity);
    }
    // Noise does not get much smaller, whatever is spent on it.
    encoder.set_compression(png::Compression::Fast);
    encoder.set_filter(png::Filter::NoFilter);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    /// The image's pixels, as indices.
    fn decode(png: &[u8]) -> (usize, usize, Vec<u8>) {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        (frame.width as usize, frame.height as usize, pixels)
    }

    /// Nanoseconds that this thread has spent on a core.
    fn on_core() -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    fn the_hole_is_where_it_was_asked_for_and_the_piece_fits_it() {
        for position in [FIRST, 99, 173, LAST] {
            let drawing = draw(position, &SystemEntropy).unwrap();
            let (width, height, scene) = decode(&drawing.background);
            assert_eq!((width, height), (WIDTH, HEIGHT));
            let (width, height, strip) = decode(&drawing.piece);
            assert_eq!((width, height), (PIECE, HEIGHT));
            let mut pixels = 0;
            for y in 0..HEIGHT {
                for x in 0..PIECE {
                    let piece = strip[y * PIECE + x];
                    let hole = scene[y * WIDTH + usize::from(position) + x];
                    if piece != NOTHING {
                        pixels += 1;
                        assert!(hole >= SHADOW, "{x} {y}");
                        assert!(piece == RIM || piece == hole - SHADOW, "{x} {y}");
                    }
                }
            }
            assert!((1_200..1_900).contains(&pixels), "{pixels}");
        }
    }

    #[test]
    fn outlines_differ_and_fill_their_box() {
        let all = [(true, true), (true, false), (false, true), (false, false)];
        let shape = |(knob_above, notch_left)| {
            let outline = Outline { knob_above, notch_left };
            (0..PIECE).map(|y| outline.line(y)).collect::<Vec<_>>()
        };
        for (index, one) in all.into_iter().enumerate() {
            assert!(shape(one).iter().all(|(from, to)| from < to && *to <= PIECE));
            for other in &all[..index] {
                assert_ne!(shape(one), shape(*other));
            }
        }
    }

    #[test]
    fn a_puzzle_costs_at_most_five_milliseconds_of_a_core() {
        drop(draw(100, &SystemEntropy));
        let before = on_core();
        let (mut bytes, count) = (0, 100);
        for _ in 0..count {
            let drawing = draw(100, &SystemEntropy).unwrap();
            bytes += drawing.background.len() + drawing.piece.len();
        }
        let (cost, size) = ((on_core() - before) / count / 1_000, bytes as u64 / count);
        println!("a puzzle: {cost} µs of a core, {size} bytes");
        assert!(cost <= 5_000, "{cost} µs");
        assert!((10_000..80_000).contains(&size), "{size} bytes");
    }
}
