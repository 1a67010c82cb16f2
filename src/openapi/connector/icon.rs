//! The icon, drawn: a speech bubble with a masked code, white on the brand colour. It must not know anything else.

/// The brand colour, as `apiProperties.json` names it: neither white nor the platform's own blue, as certification wants.
pub const BRAND_COLOR: &str = "#0b6e4f";
/// The same, in red, green and blue.
const BRAND: [u8; 3] = [0x0b, 0x6e, 0x4f];
const WHITE: [u8; 3] = [0xff; 3];
/// Pixels of a side: what certification asks for.
const SIDE: u16 = 230;
/// The bubble: a rectangle with round corners, 160 pixels wide, as the logo should be.
const BUBBLE: [f32; 4] = [35.0, 50.0, 195.0, 150.0];
const CORNER: f32 = 26.0;
/// The tip of the bubble, below it.
const TIP: [[f32; 2]; 3] = [[72.0, 145.0], [118.0, 145.0], [72.0, 186.0]];
/// The digits.
const DOTS: [[f32; 2]; 4] = [[67.0, 100.0], [99.0, 100.0], [131.0, 100.0], [163.0, 100.0]];
const DOT: f32 = 10.5;

/// The icon as PNG: 230 × 230 pixels, eight bits of red, green and blue, not transparent.
///
/// # Errors
/// What the encoder says.
pub fn icon() -> Result<Vec<u8>, String> {
    let mut pixels = Vec::with_capacity(usize::from(SIDE) * usize::from(SIDE) * 3);
    for row in 0..SIDE {
        for column in 0..SIDE {
            let at = [f32::from(column) + 0.5, f32::from(row) + 0.5];
            let white = cover(bubble(at).min(tip(at)).max(-dots(at)));
            pixels.extend(BRAND.iter().zip(WHITE).map(|(brand, light)| blend(*brand, light, white)));
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIDE.into(), SIDE.into());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(&pixels).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// How much of a pixel lies within a shape, 0 to 1, from the distance of its middle to the shape's edge.
fn cover(distance: f32) -> f32 {
    (0.5 - distance).clamp(0.0, 1.0)
}

fn blend(from: u8, to: u8, share: f32) -> u8 {
    let mixed = f32::from(from).mul_add(1.0 - share, f32::from(to) * share).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two values of a byte")]
    let byte = mixed as u8;
    byte
}

/// Distances to the shapes' edges, negative within.
fn bubble([x, y]: [f32; 2]) -> f32 {
    let [left, top, right, bottom] = BUBBLE;
    let beside = (left + CORNER - x).max(x - (right - CORNER));
    let above = (top + CORNER - y).max(y - (bottom - CORNER));
    beside.max(0.0).hypot(above.max(0.0)) + beside.max(above).min(0.0) - CORNER
}

fn tip(at: [f32; 2]) -> f32 {
    let [one, two, three] = TIP;
    edge(at, one, two).max(edge(at, two, three)).max(edge(at, three, one))
}

/// The distance to a line, positive on its left as the picture is seen.
fn edge([x, y]: [f32; 2], [from_x, from_y]: [f32; 2], [to_x, to_y]: [f32; 2]) -> f32 {
    let (run, rise) = (to_x - from_x, to_y - from_y);
    ((x - from_x) * rise - (y - from_y) * run) / run.hypot(rise)
}

fn dots([x, y]: [f32; 2]) -> f32 {
    DOTS.iter().map(|[middle_x, middle_y]| (x - middle_x).hypot(y - middle_y) - DOT).fold(f32::INFINITY, f32::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connector_icon_stands_on_the_brand_colour() {
        assert_eq!(BRAND_COLOR, format!("#{:02x}{:02x}{:02x}", BRAND[0], BRAND[1], BRAND[2]));
        let bytes = icon().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((frame.width, frame.height, frame.color_type), (230, 230, png::ColorType::Rgb));
        let pixel = |x: usize, y: usize| &pixels[(y * 230 + x) * 3..][..3];
        for (x, y) in [(0, 0), (229, 0), (0, 229), (229, 229), (99, 100)] {
            assert_eq!(pixel(x, y), BRAND, "{x} {y}");
        }
        for (x, y) in [(115, 60), (83, 100), (76, 170)] {
            assert_eq!(pixel(x, y), WHITE, "{x} {y}");
        }
    }
}
