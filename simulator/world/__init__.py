"""What is true: batteries, drives, people, weather, prices. Knows no protocol and no file format."""
