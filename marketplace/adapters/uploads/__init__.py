"""Files on their way in: received into the blob store's scratch folder, looked through, chosen."""
