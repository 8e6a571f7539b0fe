package picture

import (
	"context"
	"image"
	"image/color"
	"math"

	"golang.org/x/image/draw"
)

// side is the largest of an avatar, in pixels.
const side = 256

// fit scales a decoded frame, in its place in the whole picture and on white, to
// at most 256 × 256. It first takes means of boxes, strip by strip, down to two
// to four times that, which is cheap and bounded whatever the picture's size; the
// rest is Catmull-Rom, at its best there and too slow for giants.
func fit(ctx context.Context, frame image.Image, plan plan) (*image.RGBA, error) {
	width, height := fitted(plan.width, plan.height)
	reduced, err := reduce(ctx, frame, plan, reducedSide(plan.width, width), reducedSide(plan.height, height))
	if err != nil {
		return nil, err
	}
	if reduced.Rect.Dx() == width && reduced.Rect.Dy() == height {
		return reduced, nil
	}
	scaled := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.CatmullRom.Scale(scaled, scaled.Rect, reduced, reduced.Rect, draw.Src, nil)
	return scaled, nil
}

// fitted keeps the proportions as near as whole pixels allow, at least one each.
func fitted(width, height int) (int, int) {
	longest := max(width, height)
	if longest <= side {
		return width, height
	}
	scale := func(n int) int { return max(1, int(math.Round(float64(n)*side/float64(longest)))) }
	return scale(width), scale(height)
}

// reducedSide is how many boxes a side is cut into: as many as leave the scaler
// two pixels for each of its own at least.
func reducedSide(from, to int) int { return from / max(1, from/(2*to)) }

// reduce means boxes of a picture of any kind on white.
func reduce(ctx context.Context, frame image.Image, plan plan, width, height int) (*image.RGBA, error) {
	reduced := image.NewRGBA(image.Rect(0, 0, width, height))
	strip := image.NewRGBA(image.Rect(0, 0, plan.width, (plan.height+height-1)/height))
	// Where a row's boxes begin, and end.
	edges := make([]int, width+1)
	for i := range edges {
		edges[i] = i * plan.width / width
	}
	sums := make([][3]uint32, width)
	white := image.NewUniform(color.White)
	from := frame.Bounds()
	for y := range height {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		top, bottom := y*plan.height/height, (y+1)*plan.height/height
		rows := strip.SubImage(image.Rect(0, 0, plan.width, bottom-top)).(*image.RGBA) //nolint:errcheck,forcetypeassert // it always is
		draw.Draw(rows, rows.Rect, white, image.Point{}, draw.Src)
		draw.Draw(rows, from.Sub(from.Min).Add(plan.at).Sub(image.Pt(0, top)), frame, from.Min, draw.Over)
		clear(sums)
		for row := range bottom - top {
			line := rows.Pix[row*rows.Stride:]
			for box := range sums {
				sum := &sums[box]
				for pixels := line[4*edges[box] : 4*edges[box+1]]; len(pixels) >= 4; pixels = pixels[4:] {
					sum[0] += uint32(pixels[0])
					sum[1] += uint32(pixels[1])
					sum[2] += uint32(pixels[2])
				}
			}
		}
		line := reduced.Pix[y*reduced.Stride:]
		for box, sum := range sums {
			count := uint32((edges[box+1] - edges[box]) * (bottom - top)) //nolint:gosec // at most 80 × 80
			line[4*box+0] = mean(sum[0], count)
			line[4*box+1] = mean(sum[1], count)
			line[4*box+2] = mean(sum[2], count)
			line[4*box+3] = 0xff
		}
	}
	return reduced, nil
}

func mean(sum, count uint32) uint8 { return uint8((sum + count/2) / count) } //nolint:gosec // a mean of bytes
