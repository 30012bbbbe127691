"""What the image is made of: its SBOM, the notices of its parts, and the build tools by hash."""
