package main

import (
	"fmt"
	"html"
	"math"
	"os"
	"strings"
)

// bar is one value with what is drawn beyond it: the 99th percentile.
type bar struct{ value, high float64 }

// chart is a picture of horizontal bars, a group of them a row, one of each series.
type chart struct {
	title, note, unit string
	log               bool
	series            []string
	rows              []chartRow
}

type chartRow struct {
	label string
	bars  []bar // by series; NaN: none
}

const (
	chartWidth  = 1040.0
	labelWidth  = 340.0
	valueWidth  = 110.0
	barHeight   = 15.0
	rowGap      = 12.0
	headHeight  = 84.0
	footHeight  = 34.0
	plotWidth   = chartWidth - labelWidth - valueWidth
	fontFamily  = "Helvetica, Arial, sans-serif"
	inkColor    = "#222222"
	paleColor   = "#666666"
	gridColor   = "#dddddd"
	whiskerInk  = "#444444"
	missingText = "-"
)

// Told apart in grey and by the colour-blind (Okabe and Ito).
var colors = []string{"#0072b2", "#e69f00", "#999999", "#cc79a7"}

type svg struct{ strings.Builder }

func (s *svg) text(x, y, size float64, anchor, color, weight, text string) {
	fmt.Fprintf(s, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.0f\" text-anchor=\"%s\" fill=\"%s\" font-weight=\"%s\">%s</text>\n",
		x, y, size, anchor, color, weight, html.EscapeString(text))
}

func (s *svg) rect(x, y, w, h float64, color string) {
	fmt.Fprintf(s, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x, y, w, h, color)
}

func (s *svg) line(x1, y1, x2, y2 float64, color string) {
	fmt.Fprintf(s, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, color)
}

// scale maps values to the plot's width.
type scale struct {
	low, high float64
	log       bool
}

func (c *chart) scale() scale {
	low, high := math.Inf(1), 0.0
	for _, row := range c.rows {
		for _, b := range row.bars {
			if b.value > 0 {
				low = math.Min(low, b.value)
			}
			// a NaN is greater than nothing
			for _, v := range []float64{b.value, b.high} {
				if v > high {
					high = v
				}
			}
		}
	}
	if !c.log || high == 0 || math.IsInf(low, 1) {
		return scale{0, math.Max(high, 1e-9), false}
	}
	return scale{math.Pow(10, math.Floor(math.Log10(low*0.8))), high, true}
}

func (s scale) at(v float64) float64 {
	if s.log {
		if v <= s.low {
			return 0
		}
		return plotWidth * math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return plotWidth * v / s.high
}

// ticks: powers of ten, or four to eight round steps.
func (s scale) ticks() (all []float64) {
	if s.log {
		for v := s.low; v <= s.high; v *= 10 {
			all = append(all, v)
		}
		return all
	}
	step := math.Pow(10, math.Floor(math.Log10(s.high)))
	for _, part := range []float64{1, 2, 5} {
		if s.high/(step/part) >= 4 {
			step /= part
			break
		}
	}
	for v := 0.0; v <= s.high*1.0001; v += step {
		all = append(all, v)
	}
	return all
}

// number with three digits that count.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return missingText
	case v >= 99.95 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func (c *chart) rowHeight() float64 { return barHeight*float64(len(c.series)) + rowGap }

func (c *chart) height() float64 {
	return headHeight + c.rowHeight()*float64(len(c.rows)) + footHeight
}

func (c *chart) head(s *svg) {
	s.text(16, 26, 18, "start", inkColor, "bold", c.title)
	s.text(16, 46, 12, "start", paleColor, "normal", c.note)
	x := labelWidth
	for i, name := range c.series {
		s.rect(x, 58, 12, 12, colors[i%len(colors)])
		s.text(x+18, 69, 13, "start", inkColor, "normal", name)
		x += 34 + 8*float64(len(name))
	}
}

func (c *chart) grid(s *svg, sc scale) {
	bottom := c.height() - footHeight
	for _, v := range sc.ticks() {
		x := labelWidth + sc.at(v)
		s.line(x, headHeight-6, x, bottom, gridColor)
		s.text(x, bottom+16, 11, "middle", paleColor, "normal", number(v))
	}
	s.text(chartWidth-16, bottom+16, 11, "end", paleColor, "normal", c.unit)
}

func (c *chart) row(s *svg, sc scale, row chartRow, y float64) {
	middle := y + barHeight*float64(len(c.series))/2 + 4
	s.text(labelWidth-12, middle, 13, "end", inkColor, "normal", row.label)
	for i, b := range row.bars {
		top := y + barHeight*float64(i)
		if math.IsNaN(b.value) {
			s.text(labelWidth+4, top+11, 11, "start", paleColor, "normal", missingText)
			continue
		}
		end := math.Max(sc.at(b.value), 1)
		s.rect(labelWidth, top+1, end, barHeight-2, colors[i%len(colors)])
		label := number(b.value)
		if b.high > b.value {
			high := sc.at(b.high)
			s.line(labelWidth+end, top+barHeight/2, labelWidth+high, top+barHeight/2, whiskerInk)
			s.line(labelWidth+high, top+3, labelWidth+high, top+barHeight-3, whiskerInk)
			end = high
			label += " (" + number(b.high) + ")"
		}
		s.text(labelWidth+end+6, top+11.5, 11, "start", inkColor, "normal", label)
	}
}

// draw writes the picture.
func (c *chart) draw(path string) error {
	s := &svg{}
	fmt.Fprintf(s, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" font-family=\"%s\">\n",
		chartWidth, c.height(), chartWidth, c.height(), fontFamily)
	s.rect(0, 0, chartWidth, c.height(), "#ffffff")
	sc := c.scale()
	c.head(s)
	c.grid(s, sc)
	for i, row := range c.rows {
		c.row(s, sc, row, headHeight+c.rowHeight()*float64(i))
	}
	s.WriteString("</svg>\n")
	return os.WriteFile(path, []byte(s.String()), 0o644)
}
