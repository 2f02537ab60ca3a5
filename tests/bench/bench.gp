# SPDX-License-Identifier: MIT
#
# Draws the errors of the estimator and of the rule of the reference over time.
# usage: gnuplot -c bench.gp ERROR.CSV ERROR.SVG

set terminal svg size 800,450 font "sans-serif,14" background rgb "white"
set output ARG2
set datafile separator ","
set title "Error of the published offset, good wifi, clocks 12 ppm apart"
set xlabel "time since the first sample (s)"
set ylabel "error (µs)"
set yrange [-600:200]
set xrange [0:180]
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
set key bottom right
plot 0 with lines lc rgb "#888888" dt 2 notitle, \
     ARG1 using 1:3 skip 1 every 4 with lines lw 1.5 lc rgb "#d95f02" title "rule of the reference (1.2.5)", \
     ARG1 using 1:2 skip 1 every 4 with lines lw 1.5 lc rgb "#1b5e9e" title "this estimator"
